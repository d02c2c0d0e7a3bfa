// What a wrongly answered mark really is: ten digits and "not a digit", by click or by key.
export default {
  props: { name: String, kept: { type: Number, default: null } },
  emits: ["choose"],
  template: `
    <div class="label-keys" role="group" :aria-label="'What ' + name + ' really is'" @keydown="key">
      <button v-for="k in 10" :key="k" type="button" class="command" :aria-pressed="String(kept === k - 1)"
        :aria-label="'It is a ' + (k - 1)" @click="$emit('choose', k - 1)">{{ k - 1 }}</button>
      <button type="button" class="command is-wide" :aria-pressed="String(kept === 10)" @click="$emit('choose', 10)">Not a digit</button>
    </div>`,
  methods: {
    key(event) {
      const label = labelOf(event);
      if (label === null) return;
      event.preventDefault();
      event.stopPropagation();
      this.$emit("choose", label);
    },
  },
};

// Which label a key means: a digit, or Delete and Backspace for what is none; null for any other key.
export function labelOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (/^[0-9]$/.test(event.key)) return Number(event.key);
  return event.key === "Delete" || event.key === "Backspace" ? 10 : null;
}

// What stands where a mark has that label.
export const valueOf = (label) => (label === 10 ? "" : String(label));
