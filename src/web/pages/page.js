"use strict";

// Sends what somebody decided to the API, and shows what changes while the page is open. The token stays in this tab, the
// name in this browser. What is shown is always what the server writes for this address: nothing is made up here.
function attach(root) {
  for (const form of root.querySelectorAll("form[data-acts]")) {
    const field = (name) => form.elements.namedItem(name);
    const said = form.querySelector("output");
    const all = form.querySelector("[data-all]");
    if (all) {
      all.addEventListener("change", () => {
        for (const box of form.querySelectorAll("input[name=id]")) box.checked = all.checked;
      });
    }
    if (!said) continue;
    field("by").value = localStorage.getItem("afterimage.by") || "";
    field("token").value = sessionStorage.getItem("afterimage.token") || "";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      decide(form, field, event.submitter ? event.submitter.value : "ack", said);
    });
  }
}

attach(document);

const QUIET_MS = 2000;
const live = document.querySelector("[data-live]");
if (live) watch(live.dataset.live.split(" "), live.id);

// A stream that says "finding" or "status" has this part of the page read anew, at most every two seconds.
function watch(names, id) {
  const lost = document.getElementById("lost");
  let due = 0;
  let last = Date.now();
  const renew = async () => {
    due = 0;
    last = Date.now();
    const part = document.getElementById(id);
    if (document.hidden || inUse(part)) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(id);
      if (!fresh || inUse(part) || fresh.innerHTML === part.dataset.seen) return;
      const open = Array.from(part.querySelectorAll("details"), (one) => one.open);
      fresh.querySelectorAll("details").forEach((one, index) => {
        if (index < open.length) one.open = open[index];
      });
      const seen = fresh.innerHTML;
      const put = document.importNode(fresh, true);
      const places = "a, summary";
      const place = Array.from(part.querySelectorAll(places)).indexOf(document.activeElement);
      part.replaceWith(put);
      put.dataset.seen = seen;
      if (place >= 0) put.querySelectorAll(places)[place]?.focus({ preventScroll: true });
      attach(put);
    } catch (error) {
      // The stream itself tells that the server is gone.
    }
  };
  const ask = () => {
    if (due === 0) due = setTimeout(renew, Math.max(0, last + QUIET_MS - Date.now()));
  };
  const source = new EventSource("/api/v1/events");
  for (const name of names) source.addEventListener(name, ask);
  source.addEventListener("missed", ask);
  source.addEventListener("open", () => {
    if (lost) lost.hidden = true;
    ask();
  });
  source.addEventListener("error", () => {
    if (lost) lost.hidden = false;
  });
  document.addEventListener("visibilitychange", ask);
}

// Nothing is taken from under somebody's hands.
function inUse(part) {
  const typing = document.activeElement.matches("input, select, button") && part.contains(document.activeElement);
  return typing || part.querySelector("input:checked") !== null;
}

async function decide(form, field, act, said) {
  const chosen = Array.from(form.querySelectorAll("input[name=id]:checked"), (box) => box.value);
  const ids = form.dataset.acts ? [form.dataset.acts] : chosen;
  if (ids.length === 0) {
    said.textContent = "Choose at least one finding.";
    return;
  }
  const token = field("token").value;
  localStorage.setItem("afterimage.by", field("by").value);
  sessionStorage.setItem("afterimage.token", token);
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = "Bearer " + token;
  const body = { by: field("by").value };
  if (field("note").value) body.note = field("note").value;
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  let done = 0;
  let refusal = "";
  for (const id of ids) {
    said.textContent = `${done} of ${ids.length} …`;
    refusal = await post(`/api/v1/findings/${id}/${act}`, headers, JSON.stringify(body));
    if (refusal) break;
    done += 1;
  }
  for (const button of form.querySelectorAll("button")) button.disabled = false;
  said.textContent = refusal ? `${done} of ${ids.length} done, then: ${refusal}` : "Done.";
  if (!refusal) location.reload();
}

async function post(path, headers, body) {
  try {
    const answer = await fetch(path, { method: "POST", headers, body });
    if (answer.ok) return "";
    const told = await answer.json().catch(() => ({}));
    return told.error || `the server answered ${answer.status}`;
  } catch (error) {
    return "the server does not answer";
  }
}
