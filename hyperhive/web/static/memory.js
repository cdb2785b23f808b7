// What this browser remembers of a page: for the tab (drafts, filters) or for good (folds).

class Memory {
  constructor(storage) {
    this.storage = storage;
  }

  get(key, otherwise = null) {
    try {
      return JSON.parse(this.storage().getItem(`hive:${key}`)) ?? otherwise;
    } catch {
      return otherwise; // nothing may be kept here, or another version wrote it
    }
  }

  set(key, value) {
    try {
      if (value == null || value === "") this.storage().removeItem(`hive:${key}`);
      else this.storage().setItem(`hive:${key}`, JSON.stringify(value));
    } catch {
      // A browser that keeps nothing forgets at the next reload.
    }
  }
}

export const tab = new Memory(() => sessionStorage);
export const browser = new Memory(() => localStorage);

// Let a field keep what is typed through reloads of the tab. Answers a function
// that forgets it.
export function keepDraft(field, key) {
  field.value = tab.get(`draft:${key}`, "");
  field.addEventListener("input", () => tab.set(`draft:${key}`, field.value));
  return () => tab.set(`draft:${key}`, null);
}
