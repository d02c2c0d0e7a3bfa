// The corrections that are kept: each with its image and what it is; a button removes it.
export default {
  props: { items: Array, sprite: String },
  emits: ["remove"],
  computed: {
    sheet() {
      return { "--sprite": this.sprite ? `url(${this.sprite})` : "none", "--n": this.items.length };
    },
  },
  template: `
    <ul v-if="items.length" class="correction-list" aria-label="Corrections" :style="sheet" ref="list">
      <li v-for="(item, i) in items" :key="item.number">
        <span class="example-digit" :style="{ '--i': i }"></span>
        <span class="num">{{ item.label === 10 ? "no digit" : item.label }}</span>
        <button type="button" :aria-label="'Remove correction ' + (i + 1) + ', ' + (item.label === 10 ? 'not a digit' : item.label)" title="Remove" @click="remove(i)">×</button>
      </li>
    </ul>`,
  methods: {
    async remove(i) {
      this.$emit("remove", this.items[i].number);
      const buttons = this.$refs.list.querySelectorAll("button");
      (buttons[i + 1] ?? buttons[i - 1])?.focus();
    },
  },
};
