// Light or dark: as the system has it, or as the reader wants it.
import { useState } from "preact/hooks";

const themes = ["auto", "light", "dark"] as const;

function remembered(): string {
  try {
    return localStorage.getItem("theme") ?? "auto";
  } catch {
    return "auto"; // a browser may keep nothing
  }
}

function showTheme(theme: string) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

export function Theme() {
  const [theme, setTheme] = useState(remembered);
  return (
    <label>
      Theme{" "}
      <select value={theme} onChange={(e) => {
        const now = (e.target as HTMLSelectElement).value;
        setTheme(now);
        showTheme(now);
        try {
          localStorage.setItem("theme", now);
        } catch {
          // it holds until the page is left
        }
      }}>
        {themes.map((t) => <option>{t}</option>)}
      </select>
    </label>
  );
}

showTheme(remembered());
