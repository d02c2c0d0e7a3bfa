// The way from a photo to 28 x 28: a picture and a sentence a step, and a switch where a step can be left out.
export default {
  props: { steps: Array, about: String, text: String, corrected: { type: String, default: null } },
  emits: ["switch"],
  template: `
    <div class="reading-steps">
      <p class="reading-steps-about"><span class="muted">{{ about }}</span></p>
      <ol v-if="steps.length">
        <li v-for="(step, i) in steps" :key="step.name" :class="{ 'is-off': step.switches.some((s) => !s.on) }">
          <h3><span class="reading-step-number num" aria-hidden="true">{{ i + 1 }}</span> {{ step.title }}</h3>
          <div class="reading-step-picture"><img :src="step.src" :alt="step.title" :class="{ 'is-pixels': step.isPixels }"></div>
          <p class="reading-step-sentence">{{ step.sentence }}</p>
          <label v-for="s in step.switches" :key="s.name" class="reading-switch">
            <input type="checkbox" role="switch" :checked="s.on" @change="$emit('switch', { name: s.name, on: $event.target.checked })">
            <i aria-hidden="true"></i><span>{{ s.label }}</span></label>
        </li>
      </ol>
      <p v-if="steps.length" class="reading-steps-end" role="status">So it reads: <b class="num">{{ text || "no digit" }}</b><template v-if="corrected !== null">, and with your corrections
        <b class="num">{{ corrected || "no digit" }}</b></template></p>
    </div>`,
};
