// A line chart that is fed with new points only. What it keeps and draws is bounded, however long the run: see Curve.
// ECharts draws curves, grid lines and tooltip; the axes' words are HTML, because ECharts lays its own out anew at every
// change, which takes three times as long as all the rest and would be taken from the training on the same processor.

import { echarts } from "nicegui-echart";

// A curve is kept as at most this many groups of neighbouring points.
const MOST_GROUPS = 1024;

// All points, as groups of 1, 2, 4, 8 ... neighbours of which only the lowest and the highest are kept. While the groups
// have one point each, which is up to 1024 points, that is every point; later no peak is lost that the eye could see.
class Curve {
  constructor() {
    this.size = 1;
    this.groups = [];
    this.last = null;
    this.highest = 0;
  }

  add(x, y) {
    this.last = [x, y];
    this.highest = Math.max(this.highest, y);
    const open = this.groups.at(-1);
    if (open && open.n < this.size) {
      open.n += 1;
      if (y < open.low[1]) open.low = this.last;
      if (y > open.high[1]) open.high = this.last;
      return;
    }
    if (this.groups.length === MOST_GROUPS) this.halve();
    this.groups.push({ n: 1, low: this.last, high: this.last });
  }

  halve() {
    this.size *= 2;
    const halved = [];
    for (let i = 0; i < this.groups.length; i += 2) {
      const [a, b] = [this.groups[i], this.groups[i + 1]];
      halved.push({
        n: a.n + b.n,
        low: b.low[1] < a.low[1] ? b.low : a.low,
        high: b.high[1] > a.high[1] ? b.high : a.high,
      });
    }
    this.groups = halved;
  }

  points() {
    const points = [];
    for (const { low, high } of this.groups) {
      if (low === high) points.push(low);
      else points.push(...(low[0] < high[0] ? [low, high] : [high, low]));
    }
    if (this.last && points.at(-1)[0] < this.last[0]) points.push(this.last);
    return points;
  }

  // The newest point at or before x.
  at(x) {
    let found = null;
    for (const point of this.points()) {
      if (point[0] > x) break;
      found = point;
    }
    return found;
  }
}

// The room around the curves, in pixels.
const GRID = { left: 52, right: 14, top: 8, bottom: 40 };

const short = (value) => (Math.abs(value) < 0.001 && value !== 0 ? value.toExponential(1) : value.toFixed(4));

// A round distance between ticks, so that there are at most so many up to the end.
function tickStep(end, most, rounds) {
  const rough = end / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  return rounds.map((round) => round * power).find((step) => step >= rough * 0.999);
}

export default {
  template: `
    <div class="live-chart">
      <div class="live-chart-legend num" aria-hidden="true">
        <span v-for="(one, i) in series" :key="one.name" class="live-chart-entry">
          <i :class="['live-chart-mark', one.kind]" :style="{ '--mark': 'var(' + one.color + ')' }"></i>
          {{ one.name }} <b>{{ values[i] }}</b>
        </span>
      </div>
      <div class="live-chart-frame">
        <div ref="plot" class="live-chart-plot" role="img" :aria-label="spoken"></div>
        <div class="live-chart-axes num" aria-hidden="true">
          <span v-for="y in yTicks" :key="'y' + y" class="live-chart-y" :style="{ top: down(y / yEnd) }">{{ y.toLocaleString("en") }}</span>
          <span v-for="x in xTicks" :key="'x' + x" class="live-chart-x" :style="{ left: across(x / xEnd) }">{{ x.toLocaleString("en") }}</span>
          <span class="live-chart-x-name">{{ xName }}</span>
          <span class="live-chart-y-name">{{ yName }}</span>
          <div v-if="cursor !== null" class="live-chart-cursor" :style="{ left: across(cursor / xEnd) }"></div>
        </div>
      </div>
    </div>`,

  props: { label: String, xName: String, yName: String, xMax: Number, yMax: Number, yFirst: Number, series: Array },

  data() {
    const y = this.yMax ?? this.yFirst;
    return { values: this.series.map(() => "–"), spoken: this.label, cursor: null, xEnd: this.xMax, yEnd: y };
  },

  computed: {
    xStep() {
      return Math.max(1, tickStep(this.xEnd, 7, [1, 2, 5, 10]));
    },
    yStep() {
      return tickStep(this.yEnd, 5, [1, 2, 2.5, 5, 10]);
    },
    xTicks() {
      return this.ticks(this.xEnd, this.xStep);
    },
    yTicks() {
      return this.ticks(this.yEnd, this.yStep);
    },
  },

  created() {
    // Not reactive on purpose: Vue would watch every point.
    this.curves = this.series.map(() => new Curve());
    this.exact = {};
    this.width = 0; // of the plot in pixels; 0 while it is not shown
    this.isUnderHand = false;
  },

  mounted() {
    this.chart = echarts.init(this.$refs.plot, null, { renderer: "canvas" });
    this.chart.getZr().on("click", (event) => this.pick(event.offsetX, event.offsetY));
    // ECharts draws at once when it is told to; its own loop of animation frames is only for a hand on the chart.
    this.drawAtOnce = () => {
      this.chart.getZr().flush();
      if (!this.isUnderHand) this.chart.getZr().animation.stop();
    };
    this.$refs.plot.addEventListener("pointerenter", () => {
      this.isUnderHand = true;
      this.chart.getZr().animation.start();
    });
    this.$refs.plot.addEventListener("pointerleave", () => (this.isUnderHand = false));
    this.resizing = new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      if (!this.isSeen()) return;
      this.chart.resize();
      this.draw();
    });
    this.resizing.observe(this.$refs.plot);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", (this.onScheme = () => this.dress()));
    document.addEventListener("visibilitychange", (this.onShow = () => this.request()));
    this.dress();
    (window.requestIdleCallback ?? setTimeout)(() => this.rehearse());
  },

  beforeUnmount() {
    this.scheme.removeEventListener("change", this.onScheme);
    document.removeEventListener("visibilitychange", this.onShow);
    this.resizing.disconnect();
    this.chart.dispose();
    this.chart = null;
  },

  methods: {
    // ---- called by the server ----

    // columns: for every series the x values and the y values of its new points.
    append(columns) {
      columns.forEach(([xs, ys], i) => xs.forEach((x, k) => this.curves[i].add(x, ys[k])));
      this.hasNewPoints = true;
      this.request();
    },

    restart(xMax) {
      this.curves = this.series.map(() => new Curve());
      this.xEnd = xMax;
      this.setCursor(null);
      this.hasNewPoints = true;
    },

    // Look at one x, with the exact values there, or at the newest if x is null.
    setCursor(x, exact) {
      this.cursor = x;
      this.exact = exact ?? {};
      this.request();
    },

    // The chart once more, with its words and its legend, as a picture to keep.
    picture(kind) {
      const { clientWidth, clientHeight } = this.$refs.plot;
      const size = { width: clientWidth || 560, height: (clientHeight || 220) + 24 };
      const isSvg = kind === "svg";
      const copy = echarts.init(isSvg ? null : document.createElement("div"), null, { renderer: isSvg ? "svg" : "canvas", ssr: isSvg, ...size });
      const [soft, ink, back] = ["--ink-soft", "--ink", "--surface"].map((name) => this.color(name));
      const words = (name, nameGap) => ({ name, nameGap, nameLocation: "middle", nameTextStyle: { color: soft }, axisLabel: { show: true, color: soft } });
      const look = this.look();
      copy.setOption({
        ...look,
        backgroundColor: back,
        grid: { ...GRID, top: 32 },
        legend: { show: true, top: 2, textStyle: { color: ink }, data: this.series.map((one) => one.name) },
        xAxis: { ...look.xAxis, ...words(this.xName, 24) },
        yAxis: { ...look.yAxis, ...words(this.yName, 36) },
      });
      copy.setOption(this.content());
      if (this.cursor !== null) {
        const x = copy.convertToPixel({ xAxisIndex: 0 }, this.cursor);
        const shape = { x1: x, x2: x, y1: 32, y2: size.height - GRID.bottom };
        copy.setOption({ graphic: [{ type: "line", shape, style: { stroke: ink, lineWidth: 1.5 } }] });
      }
      const picture = isSvg ? copy.renderToSVGString() : copy.getDataURL({ type: "png", pixelRatio: 2 });
      copy.dispose();
      return picture;
    },

    // ---- drawing ----

    isSeen() {
      return this.width > 0 && !document.hidden;
    },

    request() {
      if (this.isDue) return;
      this.isDue = true;
      requestAnimationFrame(() => {
        this.isDue = false;
        this.draw();
      });
    },

    draw() {
      if (!this.chart || !this.isSeen()) return; // drawn when it is seen again
      if (this.hasNewPoints) {
        const highest = Math.max(...this.curves.map((curve) => curve.highest));
        const step = tickStep(highest || this.yFirst, 5, [1, 2, 2.5, 5, 10]);
        this.yEnd = this.yMax ?? (highest ? step * Math.ceil(highest / step) : this.yFirst);
        this.chart.setOption(this.content());
        this.drawAtOnce();
        this.hasNewPoints = false;
      }
      this.tell();
    },

    // Draw something a few times and take it away before anybody sees it: the browser compiles what draws a chart while
    // it has nothing else to do, and not in a training's first half second.
    rehearse() {
      if (!this.chart || !this.isSeen() || this.curves.some((curve) => curve.last)) return;
      for (let take = 1; take <= 4; take += 1) {
        const data = Array.from({ length: 60 }, (_, x) => [x, (x * take) % 7]);
        this.chart.setOption({ series: this.series.map((one) => ({ id: one.name, data })) });
        this.drawAtOnce();
      }
      this.chart.setOption(this.content());
      this.drawAtOnce();
    },

    dress() {
      this.chart.clear();
      this.chart.setOption(this.look());
      this.hasNewPoints = true;
      this.request();
    },

    tell() {
      const points = this.curves.map((curve, i) => {
        const exact = this.exact[this.series[i].name];
        if (this.cursor === null) return curve.last;
        return exact === undefined ? curve.at(this.cursor) : [this.cursor, exact];
      });
      this.values = points.map((point) => (point ? short(point[1]) : "–"));
      const said = points.flatMap((point, i) => (point ? [`${this.series[i].name} ${short(point[1])}`] : []));
      const where = points.find((point) => point)?.[0];
      this.spoken = said.length ? `${this.label}. ${this.xName} ${where}: ${said.join(", ")}` : `${this.label}. No points yet.`;
    },

    ticks(end, step) {
      return Array.from({ length: Math.floor(end / step + 1.001) }, (_, i) => Number((i * step).toPrecision(6)));
    },
    across(part) {
      return `calc(${GRID.left}px + (100% - ${GRID.left + GRID.right}px) * ${part})`;
    },
    down(part) {
      return `calc(${GRID.top}px + (100% - ${GRID.top + GRID.bottom}px) * ${1 - part})`;
    },

    color(name) {
      return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    },

    look() {
      const [soft, line, surface, ink] = ["--ink-soft", "--line", "--surface", "--ink"].map((name) => this.color(name));
      const fontFamily = getComputedStyle(document.body).fontFamily;
      const axis = {
        type: "value",
        min: 0,
        axisLabel: { show: false },
        axisLine: { show: true, lineStyle: { color: line } },
        axisTick: { show: false },
        splitLine: { lineStyle: { color: line, width: 1 } },
      };
      return {
        animation: false,
        textStyle: { fontFamily },
        grid: GRID,
        xAxis: { ...axis, ...this.ends().xAxis, splitLine: { show: false } },
        yAxis: { ...axis, ...this.ends().yAxis },
        tooltip: {
          trigger: "axis",
          transitionDuration: 0,
          confine: true,
          backgroundColor: surface,
          borderColor: line,
          textStyle: { color: ink, fontSize: 13, fontFamily },
          axisPointer: { lineStyle: { color: soft }, animation: false, snap: true },
          valueFormatter: (value) => (typeof value === "number" ? short(value) : "–"),
        },
        series: this.series.map((one) => ({
          id: one.name,
          name: one.name,
          type: "line",
          color: this.color(one.color),
          lineStyle: { width: 2, type: one.kind === "marked" ? "dashed" : "solid" },
          symbol: one.kind === "marked" ? "circle" : "none",
          symbolSize: 6,
          showSymbol: one.kind === "marked",
          showAllSymbol: true,
          emphasis: { disabled: true },
          data: [],
        })),
      };
    },

    ends() {
      return { xAxis: { max: this.xEnd, interval: this.xStep }, yAxis: { max: this.yEnd, interval: this.yStep } };
    },

    content() {
      return { ...this.ends(), series: this.curves.map((curve, i) => ({ id: this.series[i].name, data: curve.points() })) };
    },

    pick(x, y) {
      if (!this.chart.containPixel("grid", [x, y])) return;
      this.$emit("pick", Math.round(this.chart.convertFromPixel({ xAxisIndex: 0 }, x)));
    },
  },
};
