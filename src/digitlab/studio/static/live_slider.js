// A slider of the browser's own kind, whose end and value the server may move many times a second.
export default {
  template: `
    <div class="live-slider">
      <label class="live-slider-label" :for="name">{{ label }}</label>
      <input :id="name" type="range" :min="min" :max="top" step="1" :value="at" :disabled="disabled"
        :style="{ '--filled': filled }" :aria-valuetext="said" @input="slide" @change="settle" @pointerdown="hold" @keydown.stop />
      <output class="live-slider-said num" aria-hidden="true">{{ said }}</output>
    </div>`,

  props: { label: String, min: Number, max: Number, value: Number, words: Array, text: String, disabled: Boolean },

  data() {
    return { at: this.value, top: this.max, isHeld: false };
  },

  computed: {
    name() {
      return `slider-${this.$.uid}`;
    },
    said() {
      if (this.words) return this.words[this.at - this.min];
      return this.text.replace("{value}", this.at.toLocaleString("en")).replace("{max}", this.top.toLocaleString("en"));
    },
    filled() {
      return `${this.top > this.min ? (100 * (this.at - this.min)) / (this.top - this.min) : 0}%`;
    },
  },

  watch: {
    max(max) {
      this.top = max;
    },
    value(value) {
      if (!this.isHeld) this.at = value;
    },
  },

  methods: {
    // ---- called by the server ----
    put(value, max) {
      this.top = max;
      if (!this.isHeld) this.at = value;
    },

    slide(event) {
      this.at = Number(event.target.value);
      this.$emit("slide", this.at);
    },
    settle(event) {
      this.isHeld = false;
      this.slide(event);
    },
    // A hand on the slider is not pushed away by what the server says.
    hold() {
      this.isHeld = true;
      window.addEventListener("pointerup", () => (this.isHeld = false), { once: true });
    },
  },
};
