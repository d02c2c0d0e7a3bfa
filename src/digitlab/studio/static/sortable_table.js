// A table sorted by the headings' buttons. Rows beyond the first hundred wait behind a button. The roles are said, because
// a stylesheet may lay out rows as blocks where there is little room, and browsers then forget that they are a table.
const AT_FIRST = 100;

export default {
  props: ["name", "columns", "rows", "by", "descending", "heading"],
  emits: ["act"],
  data() {
    return { column: this.by ?? -1, down: this.descending, most: AT_FIRST, draft: null };
  },
  computed: {
    sorted() {
      if (this.column < 0) return this.rows;
      const sign = this.down ? -1 : 1;
      const order = (row) => row.cells[this.column].order;
      return [...this.rows].sort((a, b) => {
        const x = order(a), y = order(b);
        if (x === y) return 0;
        if (x === null) return 1;
        if (y === null) return -1;
        if (typeof x === "string" && typeof y === "string") return sign * x.localeCompare(y, "en", { numeric: true });
        return sign * (x < y ? -1 : 1);
      });
    },
    shown() {
      return this.sorted.slice(0, this.most);
    },
  },
  template: `
    <div class="sortable" role="region" tabindex="0" :aria-label="name">
      <table class="table" role="table" :aria-label="name">
        <thead role="rowgroup"><tr role="row">
          <th v-for="(column, c) in columns" scope="col" role="columnheader" :class="{ num: column.number, 'is-plain': !column.sorts }" :aria-sort="direction(c)">
            <button v-if="column.sorts" type="button" @click="sort(c)">{{ column.title }}<span class="arrow" aria-hidden="true"></span></button>
            <span v-else :class="{ 'sr-only': column.hidden }">{{ column.title }}</span>
          </th>
        </tr></thead>
        <tbody role="rowgroup">
          <tr v-for="row in shown" :key="row.key" role="row" :class="{ marked: row.marked }">
            <template v-for="(cell, c) in row.cells"><component v-if="!isCovered(row, c)" :is="c === heading ? 'th' : 'td'"
              :scope="c === heading ? 'row' : null" :role="c === heading ? 'rowheader' : 'cell'" :colspan="cell.span ?? null" :data-title="columns[c].hidden ? null : columns[c].title"
              :class="[{ num: columns[c].number && !cell.span, 'is-empty': !cell.text && !cell.parts }, cell.look]">
              <template v-for="part in cell.parts ?? [cell]">
                <button v-if="part.kind === 'button'" type="button" :class="['in-cell', part !== cell && part.look]" :aria-label="part.says"
                  @click="act(row, part)">{{ part.text }}</button>
                <label v-else-if="part.kind === 'check'" class="check"><input type="checkbox" :checked="part.is_on" :disabled="part.is_off" :aria-label="part.says"
                  @change="act(row, part)"><b class="run-letter" :data-letter="part.text" v-if="part.text">{{ part.text }}</b></label>
                <a v-else-if="part.kind === 'link'" class="in-cell" :href="at(part.href)" target="_blank" rel="noopener" :aria-label="part.says">{{ part.text }}</a>
                <input v-else-if="part.kind === 'line'" class="over" :value="typed(row, part)" v-bind="field(part)" @input="type(row, part, $event)" @change="save(row, part, $event)" @keydown="key(part, $event)" @blur="draft = null">
                <textarea v-else-if="part.kind === 'lines'" class="over" rows="1" :value="typed(row, part)" v-bind="field(part)" @input="type(row, part, $event)" @change="save(row, part, $event)" @keydown="key(part, $event)" @blur="draft = null"></textarea>
                <span v-else :class="part !== cell && part.look" :title="part.says || null">{{ part.text }}</span>
              </template>
            </component></template>
          </tr>
        </tbody>
      </table>
      <button v-if="rows.length > most" type="button" class="more" @click="most += 100">Show {{ Math.min(100, rows.length - most) }} more of {{ rows.length }}</button>
    </div>
  `,
  methods: {
    direction(c) {
      return c === this.column ? (this.down ? "descending" : "ascending") : null;
    },
    sort(c) {
      if (c === this.column) this.down = !this.down;
      else [this.column, this.down] = [c, Boolean(this.columns[c].number)];
    },
    // A cell that spans columns hides those after it.
    isCovered(row, c) {
      return row.cells.slice(0, c).some((cell, i) => i + (cell.span ?? 1) > c);
    },
    act(row, cell) {
      this.$emit("act", { row: row.key, action: cell.action });
    },
    field({ hint, most, says }) {
      return { placeholder: hint, maxlength: most, "aria-label": says, autocomplete: "off", spellcheck: false };
    },
    // The table may be drawn anew while somebody types.
    typed(row, cell) {
      return this.draft?.key === row.key && this.draft.action === cell.action ? this.draft.text : cell.text;
    },
    type(row, cell, event) {
      this.draft = { key: row.key, action: cell.action, text: event.target.value };
    },
    save(row, cell, event) {
      if (event.target.value !== cell.text) this.$emit("act", { row: row.key, action: cell.action, text: event.target.value });
    },
    key(cell, event) {
      if (event.key === "Escape") {
        event.target.value = cell.text;
        this.draft = null;
        event.target.blur();
      } else if (event.key === "Enter" && (cell.kind === "line" || event.ctrlKey || event.metaKey)) event.target.blur();
    },
    at(href) {
      return (window.path_prefix ?? "") + href;
    },
  },
};
