// A line chart that is fed with new points only. What it keeps and draws is bounded, however long the run: see Curve.
// ECharts draws curves and grid lines; the axes' words are HTML, because ECharts lays its own out anew at every change,
// which takes three times as long as all the rest and would be taken from the training on the same processor. So is what
// a hand or the arrow keys look at: a line and a dot on every curve. Their values stand in the legend, where they cover
// nothing.

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

  // A y of null is no number: there the curve has a gap.
  add(x, y) {
    this.last = [x, y];
    if (y !== null) this.highest = Math.max(this.highest, y);
    const open = this.groups.at(-1);
    if (open && open.n < this.size && y !== null && open.low[1] !== null) {
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
      const isGap = a.low[1] === null;
      halved.push({
        n: a.n + b.n,
        low: isGap || (b.low[1] !== null && b.low[1] < a.low[1]) ? b.low : a.low,
        high: isGap || (b.low[1] !== null && b.high[1] > a.high[1]) ? b.high : a.high,
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
const GRID = { left: 60, right: 14, top: 8, bottom: 40 };
// Marks of points, in a box of 10 by 10.
const SHAPES = {
  circle: "M5 1a4 4 0 1 0 .01 0z",
  square: "M1.5 1.5h7v7h-7z",
  triangle: "M5 .8 9.4 8.8H.6z",
  diamond: "M5 0 9.6 5 5 10 .4 5z",
  cross: "M1 2.6 2.6 1 5 3.4 7.4 1 9 2.6 6.6 5 9 7.4 7.4 9 5 6.6 2.6 9 1 7.4 3.4 5z",
  plus: "M3.9 .4h2.2v3.5h3.5v2.2H6.1v3.5H3.9V6.1H.4V3.9h3.5z",
};
// Of the curves that stand behind.
const PALE = 0.55, BEHIND = [5, 4];

const whole = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });

// A value with as many digits as tell anything: 92.4 %, 99.31 %, 0.4123, 512.3.
function told(value, isFraction) {
  if (value === null) return "no number";
  if (isFraction) return value > 0 && value < 1 ? `${(100 * value).toFixed(value < 0.99 ? 1 : 2)} %` : `${100 * value} %`;
  const size = Math.abs(value);
  if (value !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1);
  return value.toFixed(size < 100 ? 4 : 1);
}

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
          <svg class="live-chart-mark" viewBox="0 0 28 10" :style="{ color: 'var(' + one.color + ')' }"><path class="line" d="M0 5h28" :stroke-dasharray="one.dash.join(' ')"/><path v-if="one.symbol" :d="shape(one.symbol)" transform="translate(9)"/></svg>
          <span class="live-chart-name">{{ one.title }}</span> <b>{{ values[i] }}</b>
        </span>
        <span v-for="one in behind.curves" :key="'behind ' + one.name" class="live-chart-entry is-behind">
          <svg class="live-chart-mark" viewBox="0 0 28 10" :style="{ color: 'var(' + one.color + ')' }"><path class="line" d="M0 5h28" stroke-dasharray="5 4"/></svg>
          <span class="live-chart-name">{{ one.name }} behind</span> <b>{{ one.value }}</b>
        </span>
      </div>
      <div class="live-chart-frame">
        <div ref="plot" class="live-chart-plot" role="slider" tabindex="0" :aria-label="label" :aria-valuetext="spoken" aria-valuemin="0" :aria-valuemax="xEnd" :aria-valuenow="now"
          @keydown="key" @blur="look(null)" @pointermove="hover" @pointerleave="look(null)" @click="click"></div>
        <div class="live-chart-axes num" aria-hidden="true">
          <span v-for="y in yTicks" :key="'y' + y" class="live-chart-y" :style="{ top: down(y / yEnd) }">{{ yTold(y) }}</span>
          <span v-for="x in xTicks" :key="'x' + x" class="live-chart-x" :style="{ left: across(x / xEnd) }">{{ x.toLocaleString("en") }}</span>
          <span class="live-chart-x-name">{{ xName }}</span>
          <span class="live-chart-y-name">{{ yName }}</span>
          <div v-if="cursor !== null" class="live-chart-cursor" :style="{ left: across(cursor / xEnd) }"></div>
          <template v-if="seen">
            <div class="live-chart-hair" :style="{ left: across(seen.x / xEnd) }"></div>
            <i v-for="one in seen.dots" :key="one.key" class="live-chart-dot" :style="{ left: across(one.x / xEnd), top: down(one.y / yEnd), '--mark': 'var(' + one.color + ')', opacity: one.opacity }"></i>
            <div class="live-chart-where" :style="{ left: across(seen.x / xEnd) }">{{ seen.where }}</div>
          </template>
        </div>
      </div>
    </div>`,

  props: { label: String, xName: String, yName: String, xMax: Number, yMax: Number, yFirst: Number, isFraction: Boolean, series: Array },
  emits: ["pick"],

  data() {
    const y = this.yMax ?? this.yFirst;
    const behind = { name: "", curves: [] };
    return { values: this.series.map(() => "–"), spoken: "no points yet", cursor: null, xEnd: this.xMax, yEnd: y, seen: null, now: 0, behind, nTicks: 7 };
  },

  computed: {
    xStep() {
      return Math.max(1, tickStep(this.xEnd, this.nTicks, [1, 2, 5, 10]));
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
    this.ghosts = this.series.map(() => new Curve());
    this.drawn = this.series.map(() => []); // the points of the curves, as they were drawn last
    this.exact = {};
    this.width = 0; // of the plot in pixels; 0 while it is not shown
  },

  mounted() {
    this.chart = echarts.init(this.$refs.plot, null, { renderer: "canvas" });
    // ECharts draws at once when it is told to; its own loop of animation frames is not needed.
    this.drawAtOnce = () => {
      this.chart.getZr().flush();
      this.chart.getZr().animation.stop();
    };
    this.resizing = new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      if (!this.isSeen()) return;
      this.nTicks = Math.min(10, Math.max(2, Math.floor(this.width / 64)));
      this.chart.resize();
      this.hasNewPoints = true;
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
      this.look(null);
      this.setCursor(null);
      this.hasNewPoints = true;
    },

    // Another run's curves, pale and dashed behind those of the same names; none for an empty name.
    setBehind(name, columns) {
      this.ghosts = this.series.map(() => new Curve());
      columns.forEach(([xs, ys], i) => xs.forEach((x, k) => this.ghosts[i].add(x, ys[k])));
      const curves = this.series.flatMap((one, i) => (this.ghosts[i].last ? [{ i, name: one.title, color: one.color, value: "–" }] : []));
      this.behind = { name, curves };
      this.hasNewPoints = this.hasNewGhosts = true;
      this.request();
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
      const form = this.form();
      const yAxis = words(this.yName, 42);
      copy.setOption({
        ...form,
        backgroundColor: back,
        grid: { ...GRID, top: 32 },
        legend: { show: true, type: "scroll", top: 2, textStyle: { color: ink }, data: form.series.map((one) => one.name) },
        xAxis: { ...form.xAxis, ...words(this.xName, 24) },
        yAxis: { ...form.yAxis, ...yAxis, axisLabel: { ...yAxis.axisLabel, formatter: this.yTold } },
      });
      copy.setOption({ ...this.ends(), series: [...this.content(), ...this.contentBehind()] });
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
        const highest = Math.max(...[...this.curves, ...this.ghosts].map((curve) => curve.highest));
        const step = tickStep(highest || this.yFirst, 5, [1, 2, 2.5, 5, 10]);
        this.yEnd = this.yMax ?? (highest ? step * Math.ceil(highest / step) : this.yFirst);
        this.chart.setOption({ ...this.ends(), series: [...this.content(), ...(this.hasNewGhosts ? this.contentBehind() : [])] });
        this.drawAtOnce();
        this.hasNewPoints = this.hasNewGhosts = false;
        if (this.seen) this.look(this.seen.x);
      }
      this.tell();
    },

    // Draw something a few times and take it away before anybody sees it: the browser compiles what draws a chart while
    // it has nothing else to do, and not in a training's first half second.
    rehearse() {
      if (!this.chart || !this.isSeen() || [...this.curves, ...this.ghosts].some((curve) => curve.last)) return;
      for (let take = 1; take <= 4; take += 1) {
        const data = Array.from({ length: 60 }, (_, x) => [x, (x * take) % 7]);
        this.chart.setOption({ series: this.series.map((one) => ({ id: one.name, data })) });
        this.drawAtOnce();
      }
      this.chart.setOption({ ...this.ends(), series: this.content() });
      this.drawAtOnce();
    },

    dress() {
      this.chart.clear();
      this.chart.setOption(this.form());
      this.hasNewPoints = this.hasNewGhosts = true;
      this.request();
    },

    tell() {
      const points = this.curves.map((curve, i) => {
        const exact = this.exact[this.series[i].name];
        if (this.seen) return curve.at(this.seen.x);
        if (this.cursor === null) return curve.last;
        return exact === undefined ? curve.at(this.cursor) : [this.cursor, exact];
      });
      this.values = points.map((point) => (point ? this.told(point[1]) : "–"));
      const where = this.seen?.x ?? points.find((point) => point)?.[0];
      for (const one of this.behind.curves) {
        // As far along as the live curve of that name is.
        const point = where === undefined ? this.ghosts[one.i].last : this.ghosts[one.i].at(where);
        one.value = point ? this.told(point[1]) : "–";
      }
      if (this.seen) return;
      const said = points.flatMap((point, i) => (point ? [`${this.series[i].title} ${this.told(point[1])}`] : []));
      this.now = where ?? 0;
      this.spoken = said.length ? `${this.xName} ${whole(where)}: ${said.join(", ")}` : "no points yet";
    },

    told(value) {
      return told(value, this.isFraction);
    },
    yTold(y) {
      if (this.isFraction) return `${Number((100 * y).toPrecision(4))} %`;
      return Math.abs(y) >= 1e5 ? y.toExponential(0) : y.toLocaleString("en");
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
    shape(symbol) {
      return SHAPES[symbol];
    },

    form() {
      const line = this.color("--line");
      const axis = {
        type: "value",
        min: 0,
        axisLabel: { show: false },
        axisLine: { show: true, lineStyle: { color: line } },
        axisTick: { show: false },
        splitLine: { lineStyle: { color: line, width: 1 } },
      };
      const curve = { type: "line", showAllSymbol: true, emphasis: { disabled: true }, silent: true, data: [] };
      const series = this.series.map((one) => ({
        ...curve,
        id: one.name,
        name: one.title,
        z: 3,
        color: this.color(one.color),
        lineStyle: { width: 2, type: one.dash.length ? one.dash : "solid" },
        symbol: one.symbol && one.symbol !== "circle" ? `path://${SHAPES[one.symbol]}` : "circle",
        symbolSize: one.symbol && one.symbol !== "circle" ? 9 : 6,
        showSymbol: Boolean(one.symbol),
      }));
      const behind = this.behind.curves.map((one) => ({
        ...curve,
        id: `behind ${one.i}`,
        z: 2,
        name: `${one.name}: ${this.behind.name}`,
        color: this.color(one.color),
        lineStyle: { width: 2, type: BEHIND, opacity: PALE },
        itemStyle: { opacity: PALE },
        symbol: "circle",
        symbolSize: 6,
        showSymbol: false,
      }));
      return {
        animation: false,
        textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
        grid: GRID,
        xAxis: { ...axis, ...this.ends().xAxis, splitLine: { show: false } },
        yAxis: { ...axis, ...this.ends().yAxis },
        tooltip: { show: false },
        series: [...series, ...behind],
      };
    },

    ends() {
      return { xAxis: { max: this.xEnd, interval: this.xStep }, yAxis: { max: this.yEnd, interval: this.yStep } };
    },

    content() {
      return this.curves.map((curve, i) => {
        const data = (this.drawn[i] = curve.points());
        // A line needs two points; one by itself, as after the first batch or in a run of one epoch, is a dot.
        const isAlone = data.length === 1 || data.some(([, y]) => y === null);
        return { id: this.series[i].name, data, showSymbol: isAlone || Boolean(this.series[i].symbol) };
      });
    },

    // With their looks, because they come and go; those that have gone are emptied.
    contentBehind() {
      const forms = new Map(this.form().series.map((one) => [one.id, one]));
      return this.ghosts.map((curve, i) => {
        const data = curve.points();
        return { type: "line", ...forms.get(`behind ${i}`), id: `behind ${i}`, data, showSymbol: data.length === 1 };
      });
    },

    // ---- what is looked at, by hand or by the arrow keys ----

    // All x at which there is a point, in order.
    places() {
      return [...new Set(this.drawn.flatMap((points) => points.map(([x]) => x)))].sort((a, b) => a - b);
    },

    look(x) {
      const rows = x === null ? [] : this.rowsAt(x);
      if (!rows.length) {
        this.seen = null;
        this.tell();
        return;
      }
      const where = `${this.xName} ${whole(x)}`;
      this.seen = { x, where, dots: rows.filter((one) => one.y !== null && one.y <= this.yEnd * 1.001 && one.x <= this.xEnd) };
      this.now = x;
      this.spoken = `${where}: ${rows.map((one) => `${one.name} ${one.text}`).join(", ")}`;
      this.tell();
    },

    // Each curve's newest point up to x; one that is older says where it is.
    rowsAt(x) {
      const live = this.curves.map((curve, i) => ({ key: i, name: this.series[i].title, color: this.series[i].color, opacity: 1, point: curve.at(x) }));
      const behind = this.behind.curves.map((one) => ({ key: `behind ${one.i}`, name: `${one.name} behind`, color: one.color, opacity: PALE, point: this.ghosts[one.i].at(x) }));
      return [...live, ...behind].flatMap(({ point, ...one }) => {
        if (!point) return [];
        const isOld = point[0] !== x && !String(one.key).startsWith("behind");
        return [{ ...one, x: point[0], y: point[1], text: this.told(point[1]) + (isOld ? ` at ${whole(point[0])}` : "") }];
      });
    },

    xAt(event) {
      const left = event.clientX - this.$refs.plot.getBoundingClientRect().left - GRID.left;
      return (left / (this.width - GRID.left - GRID.right)) * this.xEnd;
    },

    hover(event) {
      const x = this.xAt(event);
      const places = this.places();
      if (!places.length || x < -0.02 * this.xEnd || x > 1.02 * this.xEnd) return this.look(null);
      this.look(places.reduce((best, one) => (Math.abs(one - x) < Math.abs(best - x) ? one : best)));
    },

    click(event) {
      const x = this.xAt(event);
      if (x >= 0 && x <= this.xEnd) this.$emit("pick", Math.round(x));
    },

    key(event) {
      const places = this.places();
      const last = places.length - 1;
      if (event.key === "Escape") return this.look(null);
      if (event.key === "Enter") return this.seen && this.$emit("pick", Math.round(this.seen.x));
      const from = this.seen?.x ?? this.cursor ?? Infinity;
      const found = places.findIndex((x) => x >= from);
      const here = found < 0 ? last : found;
      const ten = Math.max(1, Math.round(last / 10));
      const to = { ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1, PageDown: here - ten, PageUp: here + ten, Home: 0, End: last }[event.key];
      if (to === undefined || last < 0) return;
      event.preventDefault();
      // The first key shows the place that the arrows go on from.
      const first = this.seen || ["Home", "End"].includes(event.key) ? to : here;
      this.look(places[Math.min(Math.max(first, 0), last)]);
    },
  },
};
