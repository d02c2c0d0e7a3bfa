// A page of digits cut from one picture: one stop for the Tab key, arrow keys move, Enter opens all probabilities.
export default {
  props: ["name", "names", "title", "announced", "items", "sprite", "page", "pages", "count", "size", "looks"],
  emits: ["page", "inside"],
  data() {
    return { at: 0, open: null };
  },
  computed: {
    sheet() {
      return { "--sprite": this.sprite ? `url(${this.sprite})` : "none", "--n": this.items.length };
    },
  },
  watch: {
    // Whoever is in the list with the keyboard stays there, even where the new page is shorter.
    async items() {
      const isInside = this.$refs.grid?.contains(document.activeElement);
      this.at = Math.min(this.at, Math.max(this.items.length - 1, 0));
      await this.$nextTick();
      if (isInside && document.activeElement === document.body) this.$refs.grid?.querySelector('[tabindex="0"]')?.focus();
    },
  },
  template: `
    <section class="image-list" :aria-label="name">
      <p class="image-list-title" ref="title">{{ title }}</p>
      <p class="sr-only" role="status">{{ announced }}</p>
      <ul v-if="items.length" :style="sheet" :class="{ 'of-two': items[0].answers.length > 1 }" @keydown="move" ref="grid">
        <template v-for="(item, i) in items" :key="i"><li>
          <button type="button" :tabindex="i === at ? 0 : -1" :aria-label="item.says" :aria-expanded="item.index === open"
            @click="toggle(item)" @focus="at = i">
            <span class="digit" :style="{ '--i': i }"></span>
            <span v-for="answer in item.answers" class="answer" :class="answer.right ? 'is-right' : 'is-wrong'">
              <b v-if="answer.model">{{ answer.model }}</b> {{ answer.text }}</span>
            <span class="truth">{{ truth(item) }}</span>
            <span class="index">#{{ item.index }}</span>
          </button>
        </li>
        <li v-if="item.index === open" class="all-probabilities" role="group" :aria-label="'All probabilities of image ' + item.index">
          <table v-for="answer in item.answers">
            <caption>{{ answer.model ? answer.model + " about" : "Image" }} #{{ item.index }}, which is {{ item.label }}</caption>
            <tbody><tr v-for="(part, k) in answer.parts" :class="{ 'is-label': names[k] === item.label }">
              <th scope="row">{{ names[k] }}</th>
              <td class="part"><span :style="{ width: 100 * answer.probabilities[k] + '%' }"></span></td>
              <td class="num">{{ part }}</td></tr></tbody>
          </table>
          <button v-if="looks" type="button" class="command look-inside" :aria-label="'Look inside the network with image ' + item.index"
            @click="$emit('inside', item.index)">Look inside</button>
        </li></template>
      </ul>
      <p v-else class="empty muted">{{ title ? "There is no such image." : "" }}</p>
      <nav v-if="pages > 1" class="pager" aria-label="Pages of images">
        <button type="button" :disabled="page === 0" @click="$emit('page', page - 1)" aria-label="Previous page">‹</button>
        <span class="num">{{ page * size + 1 }} to {{ page * size + items.length }} of {{ count.toLocaleString("en") }}</span>
        <button type="button" :disabled="page + 1 >= pages" @click="$emit('page', page + 1)" aria-label="Next page">›</button>
      </nav>
    </section>
  `,
  methods: {
    reveal() {
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.$refs.title.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
    },
    truth(item) {
      const [answer, another] = item.answers;
      // What was given to the right answer says more beside a wrong one.
      return another || answer.right ? `is ${item.label}` : `is ${item.label} ${answer.of_label}`;
    },
    toggle(item) {
      this.open = this.open === item.index ? null : item.index;
    },
    move(event) {
      const buttons = [...this.$refs.grid.querySelectorAll("button[aria-expanded]")];
      const top = (i) => buttons[i].offsetTop;
      const row = buttons.filter((b) => b.offsetTop === top(0)).length;
      let to = this.at;
      switch (event.key) {
        case "ArrowLeft": to -= 1; break;
        case "ArrowRight": to += 1; break;
        case "ArrowUp": to -= row; break;
        case "ArrowDown": to += row; break;
        case "Home": to = 0; break;
        case "End": to = buttons.length - 1; break;
        case "PageUp": if (this.page > 0) this.$emit("page", this.page - 1); break;
        case "PageDown": if (this.page + 1 < this.pages) this.$emit("page", this.page + 1); break;
        case "Escape": this.open = null; break;
        default: return;
      }
      event.preventDefault();
      if (to < 0 || to >= buttons.length) return;
      this.at = to;
      buttons[to].focus();
    },
  },
};
