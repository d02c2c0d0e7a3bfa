// Keeps how far somebody is with the tasks in the browser, not on the server, and tells it when the page opens.
const NAME = "digitlab-tasks";

export default {
  emits: ["kept"],
  template: `<span hidden></span>`,
  mounted() {
    let kept = "";
    try {
      kept = localStorage.getItem(NAME) ?? "";
    } catch {
      // A browser that keeps nothing: the tasks begin anew with every visit.
    }
    this.$emit("kept", kept.slice(0, 1000));
  },
  methods: {
    keep(text) {
      try {
        localStorage.setItem(NAME, text);
      } catch {
        // As above.
      }
    },
  },
};
