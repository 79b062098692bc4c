"use strict";

// Sends what somebody decided to the API. The token stays in this tab, the name in this browser.
for (const form of document.querySelectorAll("form[data-acts]")) {
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
