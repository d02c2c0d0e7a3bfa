// The numbers of all photos in one table: each can be typed over, and a line's button shows its photo.
export default {
  props: { rows: Array, at: Number, hasFiles: Boolean },
  emits: ["correct", "show"],
  template: `
    <div class="table-scroll" v-if="rows.length">
      <table class="table numbers-table"><caption class="sr-only">Numbers and how sure they are; a number can be typed over</caption>
        <thead><tr><th v-if="hasFiles" scope="col">Photo</th><th scope="col" class="num">Line</th><th scope="col">Number</th>
          <th scope="col" class="num">All digits right</th></tr></thead>
        <tbody>
          <tr v-for="(row, i) in rows" :key="row.serial + ' ' + row.box" :class="{ 'is-shown': hasFiles && row.at === at }">
            <td v-if="hasFiles && isFirst(i)" :rowspan="count(row)"><button type="button" class="numbers-file" :title="'Show ' + row.title" @click="$emit('show', row.at)">{{ row.title }}</button></td>
            <td class="num">{{ row.line }}</td>
            <td><input class="num numbers-input" :value="row.value" :style="{ width: Math.max(row.value.length, 3) + 2.5 + 'ch' }" inputmode="numeric" maxlength="60" autocomplete="off"
              :aria-label="'Number ' + row.value + ', line ' + row.line + (hasFiles ? ' of ' + row.title : '')" pattern="[0-9 ]*" title="Digits only"
              @change="change(row, $event.target)" @keydown="key(row, $event)"></td>
            <td class="num"><span v-if="row.corrected" class="is-corrected">corrected</span><template v-else>{{ row.sure }}</template></td>
          </tr>
        </tbody>
      </table>
    </div>`,
  methods: {
    isFirst(i) {
      return i === 0 || this.rows[i - 1].at !== this.rows[i].at;
    },
    count({ at }) {
      return this.rows.filter((row) => row.at === at).length;
    },
    change(row, input) {
      const value = input.value.replace(/\s/g, "");
      // The browser says itself what is wrong with a number that has something else than digits.
      if (input.reportValidity() && value !== row.value) {
        this.$emit("correct", { serial: row.serial, box: row.box, value, isNumber: true });
      }
    },
    key(row, event) {
      if (event.key === "Enter") event.target.blur();
      if (event.key !== "Escape") return;
      event.target.value = row.value;
      event.target.blur();
    },
  },
};
