// A slider over thresholds: the point of the curve, three counts and a sentence follow it without asking the server.
export default {
  props: ["chart", "points", "n", "area", "box", "start"],
  emits: ["choose"],
  data() {
    return { at: this.start };
  },
  computed: {
    point() {
      return this.points[Math.min(this.at, this.points.length - 1)] ?? { text: "", answered: 0, right: 0, says: "" };
    },
    name() {
      return `threshold-${this.$.uid}`;
    },
    said() {
      const { text, answered, right } = this.point;
      return `${text}: ${this.count(answered)} answered, ${this.count(answered - right)} of them wrong`;
    },
    filled() {
      return `${this.points.length > 1 ? (100 * this.at) / (this.points.length - 1) : 0}%`;
    },
  },
  template: `
    <div class="threshold">
      <div class="threshold-picture">
        <div v-html="chart"></div>
        <svg v-if="points.length" class="threshold-point" :viewBox="'0 0 ' + box.width + ' ' + box.height" aria-hidden="true">
          <template v-if="point.y !== null">
            <path :d="'M' + point.x + ' ' + box.bottom + 'V' + point.y + 'H' + box.left" />
            <circle :cx="point.x" :cy="point.y" r="6" />
          </template>
        </svg>
      </div>
      <div class="threshold-side">
        <div class="threshold-slider live-slider">
          <label class="live-slider-label" :for="name">Answer from</label>
          <input :id="name" type="range" min="0" :max="Math.max(points.length - 1, start)" step="1" :value="at" :disabled="!points.length"
            :style="{ '--filled': filled }" :aria-valuetext="said" @input="slide" @keydown.stop />
          <output class="live-slider-said num" aria-hidden="true">{{ point.text }} sure</output>
        </div>
        <dl class="threshold-figures num">
          <div><dt>Answered</dt><dd>{{ count(point.answered) }} <small>of {{ count(n) }}</small></dd></div>
          <div class="is-right"><dt>Right</dt><dd>{{ count(point.right) }}</dd></div>
          <div class="is-wrong"><dt>Wrong</dt><dd>{{ count(point.answered - point.right) }}</dd></div>
          <div><dt>Refused</dt><dd>{{ count(n - point.answered) }}</dd></div>
        </dl>
        <div class="threshold-parts" aria-hidden="true">
          <i class="right" :style="{ flexGrow: point.right }"></i><i class="wrong" :style="{ flexGrow: point.answered - point.right }"></i>
          <i class="refused" :style="{ flexGrow: n - point.answered }"></i>
        </div>
        <p class="threshold-says num">{{ point.says }}</p>
        <p class="muted num">{{ area }}</p>
      </div>
    </div>
  `,
  methods: {
    count(n) {
      return n.toLocaleString("en");
    },
    slide(event) {
      this.at = Number(event.target.value);
      this.$emit("choose", this.at);
    },
  },
};
