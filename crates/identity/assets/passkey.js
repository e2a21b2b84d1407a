// Passkey ceremonies: asks the server for a challenge, the browser for an answer, and hands it back.
// Buttons carry data-passkey (the path before /start and /finish) and data-csrf.

const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const decode = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

const post = async (path, body) => {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message ?? `The server answered ${response.status}.`);
  return answer;
};

const withBuffers = (options) => {
  const ids = (list) => list?.map((entry) => ({ ...entry, id: decode(entry.id) }));
  const out = { ...options, challenge: decode(options.challenge) };
  if (options.user) out.user = { ...options.user, id: decode(options.user.id) };
  if (options.allowCredentials) out.allowCredentials = ids(options.allowCredentials);
  if (options.excludeCredentials) out.excludeCredentials = ids(options.excludeCredentials);
  return out;
};

const plain = (credential) => {
  const from = credential.response;
  const response = { clientDataJSON: encode(from.clientDataJSON) };
  for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (from[part]) response[part] = encode(from[part]);
  }
  return { id: credential.id, rawId: encode(credential.rawId), type: credential.type, response, extensions: {} };
};

const run = async (button) => {
  const area = button.closest("[data-passkey-area]");
  const say = (text) => { area.querySelector("[data-passkey-error]").textContent = text; };
  say("");
  button.disabled = true;
  try {
    const csrf = button.dataset.csrf;
    const name = area.querySelector("[name=name]")?.value ?? "";
    const continueTo = button.dataset.continueTo ?? "";
    const { mode, publicKey } = await post(`${button.dataset.passkey}/start`, { csrf, name, continue_to: continueTo });
    const options = { publicKey: withBuffers(publicKey) };
    const credential = await (mode === "create" ? navigator.credentials.create(options) : navigator.credentials.get(options));
    const { location } = await post(`${button.dataset.passkey}/finish`, { csrf, credential: plain(credential) });
    window.location.assign(location);
  } catch (error) {
    const cancelled = error.name === "NotAllowedError";
    const known = error.name === "InvalidStateError";
    say(cancelled ? "The passkey was not used. Try again when you are ready."
      : known ? "This device already has a passkey here." : error.message);
    button.disabled = false;
    button.focus();
  }
};

if (window.PublicKeyCredential) {
  for (const area of document.querySelectorAll("[data-passkey-area]")) area.hidden = false;
  for (const button of document.querySelectorAll("button[data-passkey]")) {
    const form = button.closest("[data-passkey-form]");
    const go = (event) => { event.preventDefault(); run(button); };
    if (form) form.addEventListener("submit", go);
    else button.addEventListener("click", go);
  }
} else {
  for (const missing of document.querySelectorAll("[data-passkey-missing]")) missing.hidden = false;
}
