// What the page does by itself in the browser: the tab list's keys, where a tab opens, the address bar, the words about a
// lost connection.

const popup = document.querySelector("#popup");
if (popup) {
  popup.setAttribute("role", "alert");
  const [first, second] = popup.querySelectorAll("span");
  first.textContent = "The connection to digitlab is lost.";
  second.textContent = "If it was ended in the terminal, start it again there; this page comes back by itself.";
}

// Another tab is shown at its top, whoever chose it; and where what had the focus went away with the old one, the focus is
// on the new one's name, from which Tab leads into it.
new MutationObserver((changes) => {
  const shown = changes.map((change) => change.target).find((one) => one.matches(".studio-panel:not([hidden])"));
  if (!shown) return;
  scrollTo(0, 0);
  const focused = document.activeElement;
  if (focused && focused !== document.body && focused.checkVisibility()) return;
  document.getElementById(shown.getAttribute("aria-labelledby"))?.focus({ preventScroll: true });
}).observe(document.body, { attributeFilter: ["hidden"], subtree: true });

window.studio = {
  // Arrow keys, Home and End move along the tabs, as the ARIA pattern for tabs has it; only they move the focus.
  tabKey(event) {
    const tabs = [...event.currentTarget.querySelectorAll('[role="tab"]')];
    const here = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (here < 0 || to === undefined) return;
    event.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab.focus();
    tab.click();
  },

  // One frame of the training: all that it calls, and then, when the browser has drawn it, how many milliseconds that took.
  frame(calls) {
    const began = performance.now();
    for (const [id, method, args] of calls) {
      if (id === null) this[method](...args);
      else runMethod(id, method, args);
    }
    if (document.hidden) return performance.now() - began; // nothing is drawn
    const called = performance.now() - began;
    return new Promise((done) =>
      requestAnimationFrame((drawing) => {
        // What was asked to draw in this animation frame has drawn by the time of this message.
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => done(called + performance.now() - drawing);
        port2.postMessage(null);
      }),
    );
  },

  // The address is the lesson link. Browsers allow it to change only so often, so a moment of rest is waited for.
  setAddress(query) {
    clearTimeout(this.addressTimer);
    this.addressTimer = setTimeout(() => history.replaceState(history.state, "", `${location.pathname}${query && "?"}${query}`), 250);
  },

  copyLink() {
    return this.copyText(location.href);
  },

  async copyText(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false; // not allowed to, or not served over a secure connection
    }
  },
};
