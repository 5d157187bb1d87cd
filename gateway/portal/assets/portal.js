"use strict";
// The hand-over: the sign-in service sends the browser back with the token in the fragment, which no server sees.
const callback = document.getElementById("callback");
if (callback) {
  const token = new URLSearchParams(location.hash.slice(1)).get("access_token") || "";
  const state = new URLSearchParams(location.search).get("state") || "";
  history.replaceState(null, "", location.pathname); // neither stays in the history
  const failed = (error) => {
    callback.hidden = true;
    document.getElementById("failed").hidden = false;
    for (const reason of document.querySelectorAll("[data-reason]")) reason.hidden = reason.dataset.reason !== error;
  };
  fetch(callback.dataset.session, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ access_token: token, state }),
  }).then((answer) => answer.json())
    .then((found) => (found.next ? location.replace(found.next) : failed(found.error)), () => failed(""));
}
// A code is written in two groups, however it is typed.
const code = document.getElementById("user_code");
if (code) {
  code.addEventListener("change", () => {
    const letters = code.value.toUpperCase().replace(/[^A-Z]/g, "");
    if (letters.length === 8) code.value = `${letters.slice(0, 4)}-${letters.slice(4)}`;
  });
}
