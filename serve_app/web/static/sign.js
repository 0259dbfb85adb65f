// Signing in, and the first account of a new server.
import { call, wordsOf } from "./api.js";
import { find } from "./dom.js";

async function submit(form, send) {
  const problem = find(".problem", form);
  const button = find("button", form);
  problem.hidden = true;
  button.disabled = true;
  try {
    await send(Object.fromEntries(new FormData(form)));
  } catch (error) {
    problem.textContent = wordsOf(error);
    problem.hidden = false;
    button.disabled = false;
    find("input[type=password]", form).focus();
  }
}

const signIn = find("#sign-in");
signIn?.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(signIn, async ({ email, password }) => {
    await call("POST", "/auth/login", { email, password });
    location.assign(signIn.dataset.next);
  });
});

const signUp = find("#sign-up");
signUp?.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(signUp, async ({ name, email, password, again }) => {
    if (password !== again) throw new Error("The two passwords differ.");
    await call("POST", "/auth/admin-sign-up", { name, email, password });
    await call("POST", "/auth/login", { email, password });
    location.assign("/");
  });
});
