// Passkeys and security keys: all on these pages that needs a script. A form that carries a
// question for a key shows itself where the browser can ask one, and is sent with the answer.
"use strict";

const WORDS = {
  NotAllowedError: "No key answered. Try again.",
  InvalidStateError: "This key is registered already. Use another one.",
  SecurityError: "Keys cannot be used under this address.",
};

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// Not credential.toJSON(): password managers put objects of their own in the browser's place.
const answerOf = ({ id, rawId, type, response }) => {
  const said = { clientDataJSON: text(response.clientDataJSON) };
  if (response.attestationObject) {
    said.attestationObject = text(response.attestationObject);
    said.transports = response.getTransports?.() ?? [];
  } else {
    said.authenticatorData = text(response.authenticatorData);
    said.signature = text(response.signature);
    if (response.userHandle) said.userHandle = text(response.userHandle);
  }
  return JSON.stringify({ id, rawId: text(rawId), type, response: said });
};

const ask = {
  create: (options) => navigator.credentials.create({
    publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options),
  }),
  get: (options) => navigator.credentials.get({
    publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options),
  }),
};

for (const form of document.querySelectorAll("form[data-webauthn]")) {
  if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON) continue;
  const button = form.querySelector("button");
  const problem = form.querySelector("[role=alert]");
  form.hidden = false;
  // Not by autofocus: a browser that draws the page before this finds it hidden, and drops that.
  form.querySelector("[data-first]")?.focus();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    problem.hidden = true;
    try {
      const options = JSON.parse(form.dataset.options);
      form.elements.answer.value = answerOf(await ask[form.dataset.webauthn](options));
      form.submit();
    } catch (error) {
      problem.textContent = WORDS[error.name] ?? "This key could not be used.";
      problem.hidden = false;
      button.disabled = false;
      button.focus();
    }
  });
}
