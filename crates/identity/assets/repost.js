// Sends the form of a page that only passes something on. Without a script the person presses its button.

const form = document.querySelector("form[data-repost]");
if (form) {
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
  form.requestSubmit();
}
