// Not a module, so that it runs before the first paint: nothing flashes in the wrong theme.
{
  let theme = null;
  try {
    theme = localStorage.getItem("mailbell.theme");
  } catch {
    // Storage is off: the system's theme holds.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
