// A confusion matrix: one stop for the Tab key, arrow keys move inside, Enter or Space chooses.
export default {
  props: ["names", "name", "cells", "sums", "legend", "chosen"],
  emits: ["choose"],
  data() {
    return { at: [0, 0], pointed: null };
  },
  computed: {
    // Looked up again with every drawing, so that it stays true while training goes on.
    says() {
      if (!this.pointed) return "";
      const [r, c] = this.pointed;
      if (r < 0) return this.sums[1]?.[c];
      return c < 0 ? this.sums[0]?.[r] : this.cells[r]?.[c].says;
    },
  },
  template: `
    <div class="confusion">
      <table role="grid" :aria-label="name + ': label down, prediction across'" @keydown="move" @focusin="follow"
        @mouseover="follow" @mouseleave="pointed = null" @focusout="pointed = null">
        <colgroup><col class="axis-column"><col class="names-column"><col :span="names.length"></colgroup>
        <thead role="rowgroup">
          <tr role="row" aria-hidden="true"><td colspan="2"></td><th class="axis" :colspan="names.length">prediction</th></tr>
          <tr role="row"><td colspan="2" role="gridcell"></td>
            <th v-for="(title, c) in names" role="columnheader" scope="col">
              <button v-bind="button(-1, c)" :aria-label="sums[1]?.[c]"><span class="long">{{ title }}</span><span class="short">{{ brief(title, c) }}</span></button>
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          <tr v-for="(row, r) in cells" role="row">
            <th v-if="r === 0" class="axis side" :rowspan="names.length" aria-hidden="true"><span>label</span></th>
            <th role="rowheader" scope="row">
              <button v-bind="button(r, -1)" :aria-label="sums[0]?.[r]"><span class="long">{{ names[r] }}</span><span class="short">{{ brief(names[r], r) }}</span></button>
            </th>
            <td v-for="(cell, c) in row" role="gridcell">
              <button v-bind="button(r, c)" :class="cell.shade" :aria-label="cell.says">{{ cell.n }}<small v-if="cell.part && names.length <= 15">{{ cell.part }}</small></button>
            </td>
          </tr>
        </tbody>
      </table>
      <p class="confusion-says" aria-hidden="true">{{ says || "Choose a cell, a row or a column to see its images." }}</p>
      <div class="confusion-legend" aria-label="Legend" role="group">
        <div v-for="part in legend"><span>{{ part.title }}</span>
          <ul><li v-for="step in part.steps" :class="step.shade">{{ step.text }}</li></ul></div>
      </div>
    </div>
  `,
  methods: {
    button(r, c) {
      const chosen = this.chosen ?? {};
      const own = { label: r < 0 ? null : r, predicted: c < 0 ? null : c };
      const pressed = (chosen.label ?? null) === own.label && (chosen.predicted ?? null) === own.predicted;
      return {
        type: "button",
        "data-r": r,
        "data-c": c,
        tabindex: this.at[0] === r && this.at[1] === c ? 0 : -1,
        "aria-pressed": pressed,
        onClick: () => this.$emit("choose", own),
      };
    },
    brief(title, number) {
      return this.names.length === 10 ? number : title.slice(0, 2);
    },
    follow(event) {
      const button = event.target.closest("button");
      if (!button) return;
      this.pointed = [Number(button.dataset.r), Number(button.dataset.c)];
      if (event.type === "focusin") this.at = this.pointed;
    },
    move(event) {
      const last = this.names.length - 1;
      let [r, c] = this.at;
      switch (event.key) {
        case "ArrowUp": r -= 1; break;
        case "ArrowDown": r += 1; break;
        case "ArrowLeft": c -= 1; break;
        case "ArrowRight": c += 1; break;
        case "Home": if (event.ctrlKey) [r, c] = [-1, 0]; else c = -1; break;
        case "End": c = last; if (event.ctrlKey) r = last; break;
        default: return;
      }
      event.preventDefault();
      r = Math.min(Math.max(r, -1), last);
      c = Math.min(Math.max(c, -1), last);
      // The corner above the names and beside the names holds nothing.
      if (r < 0 && c < 0) {
        if (this.at[0] < 0) c = 0;
        else r = 0;
      }
      this.at = [r, c];
      this.$el.querySelector(`[data-r="${r}"][data-c="${c}"]`)?.focus();
    },
  },
};
