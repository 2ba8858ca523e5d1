"use strict";
const LANGUAGES = { en: "English", de: "Deutsch", it: "Italiano", es: "Español", fr: "Français", zh: "中文" };
// Names that the corpora use -> name in each language, in the order of LANGUAGES.
const EMOTIONS = {
  angry: ["angry", "wütend", "arrabbiato", "enfadado", "en colère", "愤怒"],
  bored: ["bored", "gelangweilt", "annoiato", "aburrido", "ennuyé", "无聊"],
  calm: ["calm", "ruhig", "calmo", "tranquilo", "calme", "平静"],
  disgust: ["disgusted", "angeekelt", "disgustato", "asqueado", "dégoûté", "厌恶"],
  fearful: ["fearful", "ängstlich", "impaurito", "temeroso", "apeuré", "恐惧"],
  happy: ["happy", "fröhlich", "felice", "feliz", "joyeux", "高兴"],
  neutral: ["neutral", "neutral", "neutro", "neutral", "neutre", "中性"],
  sad: ["sad", "traurig", "triste", "triste", "triste", "悲伤"],
  surprised: ["surprised", "überrascht", "sorpreso", "sorprendido", "surpris", "惊讶"],
  "no speech": ["no speech", "keine Sprache", "nessun parlato", "sin habla", "pas de parole", "无语音"],
  unsure: ["unsure", "unsicher", "incerto", "inseguro", "incertain", "不确定"],
};
const TEXTS = {
  title: ["Speech emotion recognition", "Emotionserkennung in Sprache", "Riconoscimento delle emozioni nel parlato", "Reconocimiento de emociones en el habla", "Reconnaissance des émotions dans la parole", "语音情感识别"],
  intro: ["How would annotators label this voice? The answer is not what a person feels. Recordings are deleted after the answer.",
    "Wie würden Annotatoren diese Stimme einordnen? Die Antwort ist nicht, was ein Mensch fühlt. Aufnahmen werden nach der Antwort gelöscht.",
    "Come etichetterebbero questa voce gli annotatori? La risposta non è ciò che una persona prova. Le registrazioni vengono cancellate dopo la risposta.",
    "¿Cómo etiquetarían esta voz los anotadores? La respuesta no es lo que una persona siente. Las grabaciones se borran tras la respuesta.",
    "Comment des annotateurs étiquetteraient-ils cette voix ? La réponse n'est pas ce qu'une personne ressent. Les enregistrements sont supprimés après la réponse.",
    "标注者会如何标注这段声音？答案并不代表说话人的真实感受。录音在回答后即被删除。"],
  choose: ["Choose a recording", "Aufnahme wählen", "Scegli una registrazione", "Elegir una grabación", "Choisir un enregistrement", "选择录音"],
  record: ["Record", "Aufnehmen", "Registra", "Grabar", "Enregistrer", "录音"],
  stop: ["Stop", "Stopp", "Ferma", "Detener", "Arrêter", "停止"],
  working: ["Computing …", "Wird berechnet …", "Calcolo in corso …", "Calculando …", "Calcul en cours …", "计算中……"],
  microphone: ["The microphone cannot be used", "Das Mikrofon ist nicht verfügbar", "Il microfono non è disponibile", "El micrófono no está disponible", "Le micro n'est pas disponible", "无法使用麦克风"],
  offline: ["The service does not answer", "Der Dienst antwortet nicht", "Il servizio non risponde", "El servicio no responde", "Le service ne répond pas", "服务无响应"],
  recording: ["Recording", "Aufnahme", "Registrazione", "Grabación", "Enregistrement", "录音"],
  card: ["About this model", "Über dieses Modell", "Informazioni sul modello", "Acerca de este modelo", "À propos de ce modèle", "关于此模型"],
};
const COLORS = ["#f28e8b", "#8fb8f0", "#f3c15f", "#8fcf9b", "#c9a4e8", "#79cfcf", "#f0a868", "#b9bfc8", "#e39ac4", "#b5cc6a"];
const PIXELS_PER_SECOND = 60;
const at = id => document.getElementById(id);
const make = (kind, parent, values = {}, style = {}) => {
  const element = Object.assign(document.createElement(kind), values);
  Object.assign(element.style, style);
  parent.append(element);
  return element;
};
let language = Object.keys(LANGUAGES).find(code => navigator.language.startsWith(code)) || "en";
let emotions = [], answer = null, selected = 0, recorder = null, wave = null;

const index = () => Object.keys(LANGUAGES).indexOf(language);
const text = key => TEXTS[key][index()];
const label = emotion => EMOTIONS[emotion] ? EMOTIONS[emotion][index()] : emotion;
const color = emotion => emotions.includes(emotion) ? COLORS[emotions.indexOf(emotion) % COLORS.length] : "#9aa1ab";

function translate() {
  document.documentElement.lang = language;
  document.title = text("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  at("record").lastElementChild.textContent = text(recorder ? "stop" : "record");
  if (answer) show();
}

function say(message, error = false) {
  at("status").textContent = message;
  at("status").className = error ? "error" : "";
}

async function predict(blob, name) {
  say(text("working"));
  at("result").hidden = true;
  const form = new FormData();
  form.append("file", blob, name);
  try {
    const response = await fetch("predict", { method: "POST", body: form });
    const found = await response.json();
    if (!response.ok) return say(found.detail, true);
    answer = { ...found, name };
  } catch {
    return say(text("offline"), true);
  }
  if (at("player").src) URL.revokeObjectURL(at("player").src);
  at("player").src = URL.createObjectURL(blob);
  wave = await decode(blob).catch(() => null);  // the browser may not know the format
  selected = 0;
  say("");
  at("result").hidden = false;
  show();
}

async function decode(blob) {
  const context = new OfflineAudioContext(1, 1, 16000);
  return (await context.decodeAudioData(await blob.arrayBuffer())).getChannelData(0);
}

function show() {
  const { segments, duration } = answer;
  at("name").textContent = answer.name;
  at("timeline").style.width = `${Math.min(PIXELS_PER_SECOND * duration, 30000)}px`;
  for (const id of ["legend", "segments", "bars"]) at(id).replaceChildren();
  for (const emotion of emotions) {
    const entry = make("span", at("legend"));
    make("i", entry, {}, { background: color(emotion) });
    entry.append(label(emotion));
  }
  segments.forEach((row, number) => {
    const place = { left: `${100 * row.start / duration}%`, width: `${100 * (row.end - row.start) / duration}%` };
    const button = make("button", at("segments"), { textContent: label(row.prediction) }, { ...place, background: color(row.prediction) });
    button.title = `${label(row.prediction)}, ${row.start.toFixed(1)}–${row.end.toFixed(1)} s`;
    button.addEventListener("click", () => { selected = number; details(); at("player").currentTime = row.start; });
    const bars = make("div", at("bars"), {}, place);
    for (const [emotion, share] of Object.entries(row.probabilities || {}))
      make("div", bars, {}, { position: "static", height: `${100 * share}%`, background: color(emotion) });
  });
  draw();
  details();
}

function details() {
  const row = answer.segments[selected];
  [...at("segments").children].forEach((button, number) => button.setAttribute("aria-pressed", number === selected));
  at("selected").textContent = `${row.start.toFixed(1)}–${row.end.toFixed(1)} s: ${label(row.prediction)}`;
  at("probabilities").replaceChildren();
  const values = Object.entries(row.probabilities || {}).sort((a, b) => b[1] - a[1]);
  for (const [emotion, share] of values) {
    const line = make("div", at("probabilities"), { className: "row" });
    make("span", line, { textContent: label(emotion) });
    make("div", make("div", line, { className: "track" }), {}, { width: `${100 * share}%`, background: color(emotion) });
    make("b", line, { textContent: `${(100 * share).toFixed(0)} %` });
  }
  at("warnings").replaceChildren();
  for (const warning of row.warnings) make("li", at("warnings"), { textContent: warning });
}

function draw() {
  const canvas = at("wave"), width = canvas.width = Math.min(canvas.offsetWidth * devicePixelRatio, 16000);
  const height = canvas.height = 80 * devicePixelRatio, context = canvas.getContext("2d");
  canvas.hidden = !wave;
  if (!wave) return;
  context.fillStyle = getComputedStyle(document.body).color;
  const step = wave.length / width, most = wave.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-3);
  for (let x = 0; x < width; x++) {
    let loudest = 0;
    for (let n = Math.floor(x * step); n < (x + 1) * step; n++) loudest = Math.max(loudest, Math.abs(wave[n] || 0));
    const size = Math.max(1, loudest / most * height * .9);
    context.fillRect(x, (height - size) / 2, 1, size);
  }
}

// Recorded sound is sent as WAV, which the service reads without FFmpeg.
function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const put = (offset, word) => [...word].forEach((letter, n) => view.setUint8(offset + n, letter.charCodeAt(0)));
  put(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); put(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  put(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, n) => view.setInt16(44 + 2 * n, Math.max(-1, Math.min(1, sample)) * 32767, true));
  return new Blob([view], { type: "audio/wav" });
}

async function record() {
  if (recorder) return recorder.stop();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    return say(text("microphone"), true);
  }
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.addEventListener("dataavailable", event => parts.push(event.data));
  recorder.addEventListener("stop", async () => {
    for (const track of stream.getTracks()) track.stop();
    recorder = null;
    at("record").className = "button";
    translate();
    const samples = await decode(new Blob(parts));
    await predict(wav(samples, 16000), `${text("recording")}.wav`);
  });
  recorder.start();
  say("");  // the error of an earlier recording
  at("record").className = "button on";
  translate();
}

for (const [code, name] of Object.entries(LANGUAGES)) make("option", at("language"), { value: code, textContent: name });
at("language").value = language;
at("language").addEventListener("change", () => { language = at("language").value; translate(); });
at("file").addEventListener("change", () => at("file").files[0] && predict(at("file").files[0], at("file").files[0].name));
document.addEventListener("dragover", event => event.preventDefault());
document.addEventListener("drop", event => { event.preventDefault(); if (event.dataTransfer.files[0]) predict(event.dataTransfer.files[0], event.dataTransfer.files[0].name); });
at("record").addEventListener("click", record);
at("player").addEventListener("timeupdate", () => {
  const time = at("player").currentTime;
  at("cursor").style.left = `${100 * time / answer.duration}%`;
  const now = answer.segments.findIndex(row => row.start <= time && time < row.end);
  if (now >= 0 && now !== selected && !at("player").paused) { selected = now; details(); }
});
at("card").addEventListener("toggle", async () => {
  const place = at("card").lastElementChild;
  if (at("card").open && !place.childNodes.length) place.innerHTML = await (await fetch("card")).text();
});
addEventListener("resize", () => answer && draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => answer && draw());
fetch("health").then(response => response.json()).then(found => { emotions = found.emotions; translate(); });
translate();
