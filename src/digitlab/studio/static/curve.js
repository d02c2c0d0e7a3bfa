// Of a curve that grows without end, at most this many groups of neighbouring points are kept.
const MOST_GROUPS = 1024;

// All points, as groups of 1, 2, 4, 8 ... neighbours of which only the lowest and the highest are kept. While the groups
// have one point each, which is up to 1024 points, that is every point; later no peak is lost that the eye could see.
export class Curve {
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
