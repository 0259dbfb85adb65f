// What every page has around it: the account's menu, the colours, signing out.
import { call, wordsOf } from "./api.js";
import { find, toast } from "./dom.js";

find("#theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});

find("#sign-out")?.addEventListener("click", async () => {
  try {
    await call("POST", "/auth/logout");
    location.assign("/auth/login");
  } catch (error) {
    toast(wordsOf(error), "bad");
  }
});

find(".bar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

const menu = find(".menu");
document.addEventListener("click", (event) => {
  if (menu?.open && !menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu?.open) {
    menu.open = false;
    find("summary", menu).focus();
  }
});
