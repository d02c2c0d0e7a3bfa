// A table sorted by the headings' buttons. Rows beyond the first hundred wait behind a button.
const AT_FIRST = 100;

export default {
  props: ["name", "columns", "rows", "by", "descending", "heading"],
  emits: ["act"],
  data() {
    return { column: this.by ?? -1, down: this.descending, most: AT_FIRST };
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
      <table class="table">
        <thead><tr>
          <th v-for="(column, c) in columns" scope="col" :class="{ num: column.number }" :aria-sort="direction(c)">
            <button v-if="column.sorts" type="button" @click="sort(c)">{{ column.title }}<span class="arrow" aria-hidden="true"></span></button>
            <span v-else :class="{ 'sr-only': column.hidden }">{{ column.title }}</span>
          </th>
        </tr></thead>
        <tbody>
          <tr v-for="row in shown" :key="row.key" :class="{ marked: row.marked }">
            <template v-for="(cell, c) in row.cells"><component v-if="!isCovered(row, c)" :is="c === heading ? 'th' : 'td'"
              :scope="c === heading ? 'row' : null" :colspan="cell.span ?? null" :class="[{ num: columns[c].number && !cell.span }, cell.look]">
              <button v-if="cell.kind === 'button'" type="button" class="in-cell" :aria-label="cell.says"
                @click="act(row, cell)">{{ cell.text }}</button>
              <label v-else-if="cell.kind === 'check'" class="check"><input type="checkbox" :checked="cell.is_on" :aria-label="cell.says"
                @change="act(row, cell)"><b class="run-letter" :class="{ second: cell.text === 'B' }" v-if="cell.text">{{ cell.text }}</b></label>
              <a v-else-if="cell.kind === 'link'" :href="at(cell.href)" target="_blank" rel="noopener" :aria-label="cell.says">{{ cell.text }}</a>
              <span v-else :title="cell.says || null">{{ cell.text }}</span>
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
    at(href) {
      return (window.path_prefix ?? "") + href;
    },
  },
};
