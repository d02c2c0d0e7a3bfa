// Digits cut from one picture: one stop for the Tab key, arrow keys move, a click or Enter opens one.
export default {
  props: ["name", "digits", "sprite", "size"],
  emits: ["open"],
  data() {
    return { at: 0 };
  },
  computed: {
    sheet() {
      return {
        "--sprite": this.sprite ? `url(${this.sprite})` : "none",
        "--n": this.digits.length,
        "--size": `${this.size}px`,
      };
    },
  },
  watch: {
    digits() {
      this.at = Math.min(this.at, Math.max(this.digits.length - 1, 0));
    },
  },
  template: `
    <ul class="example-digits" :aria-label="name" :style="sheet" ref="grid" @keydown="move">
      <li v-for="(digit, i) in digits" :key="i">
        <button type="button" :tabindex="i === at ? 0 : -1" :aria-label="digit.says" aria-haspopup="dialog"
          @click="at = i; $emit('open', i)" @focus="at = i">
          <span class="example-digit" :style="{ '--i': i }"></span>
          <span class="example-label">{{ digit.text }}</span>
        </button>
      </li>
    </ul>
  `,
  methods: {
    move(event) {
      const buttons = [...this.$refs.grid.querySelectorAll("button")];
      const first = buttons[0]?.getBoundingClientRect().top;
      const row = buttons.filter((button) => button.getBoundingClientRect().top === first).length;
      const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row };
      let to = this.at + (steps[event.key] ?? 0);
      if (event.key === "Home") to = 0;
      else if (event.key === "End") to = buttons.length - 1;
      else if (!(event.key in steps)) return;
      event.preventDefault();
      if (to < 0 || to >= buttons.length) return;
      this.at = to;
      buttons[to].focus();
    },
  },
};
