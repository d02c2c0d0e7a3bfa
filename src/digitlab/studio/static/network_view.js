// The network of a moment: the picture that is handed out as a page, too, and here gets new numbers while it learns.
import { showInside } from "/studio/inside.js";

export default {
  template: `
    <div class="network-view">
      <p class="network-words num">{{ words }}</p>
      <p class="muted" v-show="isShown">Choose any number: click a map, or move with the arrow keys; Page Up and Page Down lead to the next map.</p>
      <div ref="inside"></div>
    </div>`,
  emits: ["ready", "unit", "why"],

  data() {
    return { words: "", isShown: false };
  },

  mounted() {
    // What came while the browser's tab was in the background is drawn when it is looked at.
    document.addEventListener("visibilitychange", (this.onSight = () => document.hidden || this.last?.()));
    this.$emit("ready");
  },
  beforeUnmount() {
    document.removeEventListener("visibilitychange", this.onSight);
    this.shown?.end();
  },

  methods: {
    // ---- called by the server ----
    // A plan where the network is another one; a frame of its numbers; the image, where that is another one.
    async show(plan, frame, image, words) {
      if (plan) {
        this.shown?.end();
        const root = document.createElement("div");
        this.$refs.inside.replaceChildren(root);
        this.shown = showInside(root, plan, {
          ask: (layer, unit, read) => this.$emit("unit", { layer, unit, read }),
          why: () => this.$emit("why"),
        });
        this.image = null;
        this.isShown = true;
      }
      this.image = image ?? this.image;
      this.last = async () => {
        this.last = null;
        this.words = words;
        const began = performance.now();
        await this.shown.update(frame, this.image);
        return performance.now() - began;
      };
      return document.hidden ? 0 : this.last();
    },
    take(account) {
      this.shown?.take(account);
    },
    prove(found, words) {
      this.shown?.prove(found, words);
    },
    // What stands there instead of a network that cannot be shown.
    tell(sentence) {
      this.shown?.end();
      this.shown = this.last = null;
      this.$refs.inside.replaceChildren();
      this.words = sentence;
      this.isShown = false;
    },
  },
};
