// The network of a moment, or two: the pictures that are handed out as a page, too, and here get new numbers while it learns.
import { showInside } from "/studio/inside.js";
import { showSides } from "/studio/sides.js";

export default {
  template: `
    <div class="network-view">
      <p class="muted">Start it, or press Replay, and watch it learn. Click any map to see how a number is made; the arrow keys move, Page Up and Page Down lead to the next map.</p>
      <div ref="sides"></div>
    </div>`,
  emits: ["ready", "unit", "why", "like"],

  mounted() {
    this.sides = showSides(this.$refs.sides, showInside, {
      ask: (side, layer, unit, read) => this.$emit("unit", { side, layer, unit, read }),
      why: (side, target) => this.$emit("why", { side, target }),
      like: (side, layer, unit) => this.$emit("like", { side, layer, unit }),
    });
    // What came while the browser's tab was in the background is drawn when it is looked at.
    this.waiting = [null, null];
    document.addEventListener("visibilitychange", (this.onSight = () => document.hidden || this.waiting.forEach((draw) => draw?.())));
    this.$emit("ready");
  },
  beforeUnmount() {
    document.removeEventListener("visibilitychange", this.onSight);
    this.sides.end();
  },

  methods: {
    // ---- called by the server, of a side ----
    // A plan where the network is another one; a frame of its numbers; the image, where that is another one.
    async show(side, plan, frame, image, words) {
      if (plan) this.sides.put(side, plan, words);
      // A picture that was not drawn yet keeps its image for the next frame.
      this.images ??= [null, null];
      this.images[side] = image ?? (plan ? null : this.images[side]);
      this.waiting[side] = async () => {
        this.waiting[side] = null;
        const began = performance.now();
        await this.sides.update(side, frame, this.images[side], words);
        return performance.now() - began;
      };
      return document.hidden ? 0 : this.waiting[side]();
    },
    take(side, account) {
      this.sides.of(side)?.take(account);
    },
    prove(side, found, words) {
      this.sides.of(side)?.prove(found, words);
    },
    likes(side, found) {
      this.sides.of(side)?.likes(found);
    },
    tell(side, sentence) {
      this.waiting[side] = null;
      this.sides.tell(side, sentence);
    },
    drop(side) {
      this.waiting[side] = null;
      this.sides.drop(side);
    },
  },
};
