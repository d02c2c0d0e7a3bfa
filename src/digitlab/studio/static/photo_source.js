// Photos come in by dropping, pasting, choosing, or from the camera; each is sent, and a sentence says what went wrong.
const MOST_BYTES = 64e6;
const MOST_AT_ONCE = 20;

export default {
  props: { url: String, accept: String },
  emits: ["example"],
  data() {
    return { isOver: false, waiting: 0, sentences: [], stream: null, cameraSays: "" };
  },
  template: `
    <div class="photo-source" ref="root" :class="{ 'is-over': isOver }" @dragenter.prevent="isOver = true" @dragover.prevent="isOver = true"
      @dragleave="leave" @drop.prevent="drop">
      <p class="photo-source-words"><b>Drop</b> photos or PDFs here, <b>paste</b> a picture, or</p>
      <div class="toolbar">
        <button type="button" class="command command-main" @click="$refs.files.click()">Choose files</button>
        <button type="button" class="command" :aria-expanded="String(!!stream)" @click="stream ? stop() : camera()">Take a picture</button>
        <button type="button" class="command" @click="$emit('example')">Show an example</button>
      </div>
      <input ref="files" type="file" multiple hidden :accept="accept" @change="picked" aria-label="Photos or PDFs">
      <input ref="capture" type="file" accept="image/*" capture="environment" hidden @change="picked" aria-label="Picture from the camera">
      <p v-if="cameraSays" class="muted" role="status">{{ cameraSays }}</p>
      <div v-if="stream" class="camera">
        <video ref="video" autoplay playsinline muted aria-label="What the camera sees"></video>
        <div class="toolbar">
          <button type="button" class="command command-main" @click="shoot">Take it</button>
          <button type="button" class="command" @click="stop">Close the camera</button>
        </div>
      </div>
      <p v-if="waiting" class="photo-waiting" role="status">Reading …</p>
      <p v-for="sentence in sentences" :key="sentence" class="error" role="alert">{{ sentence }}</p>
    </div>`,

  mounted() {
    document.addEventListener("paste", this.paste);
  },
  beforeUnmount() {
    document.removeEventListener("paste", this.paste);
    this.stop();
  },

  methods: {
    leave(event) {
      if (!this.$refs.root.contains(event.relatedTarget)) this.isOver = false;
    },
    drop(event) {
      this.isOver = false;
      this.send([...event.dataTransfer.files]);
    },
    paste(event) {
      if (!this.$refs.root?.checkVisibility() || event.target.closest?.("input, textarea")) return;
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) {
        event.preventDefault();
        this.send(files);
      }
    },
    picked(event) {
      this.send([...event.target.files]);
      event.target.value = "";
    },

    async send(files) {
      this.sentences = [];
      if (files.length > MOST_AT_ONCE) this.say(`${files.length} files are too many at once; the first ${MOST_AT_ONCE} are read.`);
      for (const file of files.slice(0, MOST_AT_ONCE)) {
        if (file.size > MOST_BYTES) {
          this.say(`${file.name} has more than ${MOST_BYTES / 1e6} MB. Save it smaller first.`);
          continue;
        }
        this.waiting += 1;
        try {
          const reply = await fetch(this.url, {
            method: "POST",
            headers: { "X-File-Name": encodeURIComponent(file.name.slice(-200)) },
            body: file,
          });
          this.say((await reply.json()).sentence);
        } catch {
          this.say(`${file.name} could not be sent. Is digitlab still running?`);
        } finally {
          this.waiting -= 1;
        }
      }
    },
    say(sentence) {
      if (sentence && !this.sentences.includes(sentence)) this.sentences.push(sentence);
    },

    // ---- the camera; browsers give it only to pages that come from this machine or over a secure connection ----
    async camera() {
      if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
        this.cameraSays =
          "This browser gives its camera only to pages from this machine or over HTTPS. On a phone, choose “Camera” in what opens now; else choose a file.";
        this.$refs.capture.click();
        return;
      }
      this.cameraSays = "";
      try {
        const wanted = { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } };
        this.stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
        await this.$nextTick();
        this.$refs.video.srcObject = this.stream;
      } catch (error) {
        const why = error.name === "NotAllowedError" ? "The camera was not allowed" : "There is no camera that can be used";
        this.cameraSays = `${why}; choose a file, or paste a picture.`;
      }
    },
    shoot() {
      const video = this.$refs.video;
      if (!video.videoWidth) return;
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => this.send([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.92);
      this.stop();
    },
    stop() {
      this.stream?.getTracks().forEach((track) => track.stop());
      this.stream = null;
    },
  },
};
