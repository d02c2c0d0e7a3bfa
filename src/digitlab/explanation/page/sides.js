// One network or two beside each other for the same image: the pictures of inside.js, which `show` is, linked. What is
// chosen at one side is chosen at the other where they are the same network, and what differs is told and coloured.

const LABELS = {
  picture: "Every layer, from the image to the answer",
  panel: "The arithmetic behind one number",
  likes: "What it likes best",
  evidence: "Why this answer",
};

/** Draw into an element. `asks` are functions of a side, 0 or 1: `ask`, `why` and `like`, as inside.js has them. */
export function showSides(root, show, asks = {}) {
  const sides = [null, null];
  let [isDifference, isScrolled] = [false, false];
  const told = document.createElement("p");
  const choice = document.createElement("div");
  const label = document.createElement("label");
  const toggle = document.createElement("input");
  Object.assign(toggle, {type: "checkbox", onchange: () => ((isDifference = toggle.checked), compare())});
  toggle.setAttribute("role", "switch");
  label.className = "choice";
  label.append(toggle, "Colour in B what differs from A");
  choice.className = "side-choice";
  choice.append(label, told);
  root.classList.add("inside");
  arrange();

  /** Everything in the order in which it is read: what is above of both sides, then what is taken apart. */
  function arrange() {
    const here = sides.filter(Boolean);
    const [isTwo, focused] = [here.length === 2, document.activeElement];
    // One legend holds for both sides.
    const legend = here.filter(({parts}) => parts).slice(0, 1).map(({parts}) => parts.legend);
    root.classList.toggle("is-two", isTwo);
    root.replaceChildren(
      choice,
      ...(isTwo ? legend : []),
      ...here.flatMap(({words, parts}) => [words, ...(isTwo ? [] : legend), ...(parts ? [parts.picture] : [])]),
      ...here.flatMap(({parts}) => (parts ? [parts.panel] : [])),
      ...here.flatMap(({parts}) => (parts ? [parts.likes] : [])),
      ...here.flatMap(({parts}) => (parts ? [parts.evidence, parts.told] : [])),
    );
    sides.forEach((side, k) => {
      if (!side) return;
      side.words.firstChild.textContent = isTwo ? "AB"[k] : "";
      const why = side.words.lastChild;
      why.setAttribute("aria-label", isTwo ? `Side ${"AB"[k]}: ${why.textContent}` : why.textContent);
      if (!side.parts) return;
      for (const [name, part] of Object.entries(side.parts)) {
        if (name !== "legend") part.classList.add(`of-${k}`);
        if (LABELS[name]) part.setAttribute("aria-label", isTwo ? `Side ${"AB"[k]}: ${LABELS[name]}` : LABELS[name]);
        part.classList.toggle("lower", ["panel", "likes", "evidence"].includes(name));
      }
    });
    choice.hidden = !isTwo;
    if (root.contains(focused)) focused.focus({preventScroll: true});
  }

  function compare() {
    const [a, b] = sides.map((side) => side?.picture?.numbers() || null);
    const isSame = Boolean(a && b && a.shape === b.shape);
    label.hidden = !isSame;
    told.textContent = isSame
      ? "The same number is taken apart on both sides, in the same colours. Beside each answer stands what it has more or less than the other side, in points of percent."
      : "Two networks of different layers. Beside each answer stands what it has more or less than the other side, in points of percent.";
    sides[0]?.picture?.against(b, false);
    sides[1]?.picture?.against(a, isDifference);
  }

  /** The other side of one that shows the same network; null where it does not. */
  function twin(k) {
    const [own, other] = [sides[k]?.picture, sides[1 - k]?.picture];
    return own?.numbers() && other?.numbers() && own.numbers().shape === other.numbers().shape ? other : null;
  }

  function scroll(k) {
    const [own, other] = [sides[k], sides[1 - k]].map((side) => side?.parts?.picture);
    if (!other || isScrolled) return;
    isScrolled = true;
    other.scrollLeft = own.scrollLeft;
    requestAnimationFrame(() => (isScrolled = false));
  }

  function clear(k) {
    sides[k]?.picture?.end();
    const words = sides[k]?.words ?? document.createElement("p");
    if (!words.firstChild) {
      const why = document.createElement("button");
      Object.assign(why, {type: "button", className: "ask", textContent: "Why this answer?", onclick: () => sides[k].picture.reason()});
      words.append(document.createElement("b"), document.createElement("span"), why);
    }
    words.className = `side-words of-${k}`;
    sides[k] = {words, parts: null, picture: null};
  }

  const bound = (name, k) => (asks[name] ? (...values) => asks[name](k, ...values) : null);

  return {
    /** Show a network: a plan, or all its numbers; `end` and sides that are not there any more go. */
    put(k, data, words = "") {
      clear(k);
      const side = sides[k];
      side.picture = show(root, data, {
        ask: bound("ask", k),
        why: bound("why", k),
        like: bound("like", k),
        place: (parts) => (side.parts = parts),
        chosen: (...unit) => twin(k)?.choose(...unit),
        scaled: (is) => sides[1 - k]?.picture?.oneScale(is),
      });
      side.parts.picture.addEventListener("scroll", () => scroll(k));
      this.say(k, words);
      arrange();
      side.picture.redraw();
      if (data.image) {
        const other = twin(k);
        if (other) side.picture.choose(...other.chosen());
        compare();
      }
    },
    say(k, words) {
      const [, sentence, why] = sides[k].words.children;
      sentence.textContent = words;
      why.hidden = !sides[k].picture?.hasReason();
    },
    async update(k, frame, image, words) {
      const side = sides[k];
      if (!side?.picture) return;
      this.say(k, words);
      const isAlone = !sides[1 - k]?.picture?.numbers();
      await side.picture.update(frame, image, isAlone);
      if (!isAlone) compare();
    },
    of: (k) => sides[k]?.picture,
    /** What stands there instead of a network that cannot be shown. */
    tell(k, sentence) {
      clear(k);
      this.say(k, sentence);
      arrange();
      label.hidden = true;
      sides[1 - k]?.picture?.against(null, false);
    },
    drop(k) {
      if (!sides[k]) return;
      sides[k].picture?.end();
      sides[k] = null;
      arrange();
      sides[1 - k]?.picture?.against(null, false);
    },
    end() {
      for (const side of sides) side?.picture?.end();
    },
  };
}
