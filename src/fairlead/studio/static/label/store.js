/** What this browser keeps: drafts and answers on their way, in IndexedDB; in memory only where a browser has none for us. */

const NAMES = ["drafts", "outbox"];

/** @returns {Promise<Store>} */
export async function openStore() {
  try {
    return new Store(await opened());
  } catch {
    return new Store(null);
  }
}

/** @returns {Promise<IDBDatabase>} */
function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("fairlead-labels", 1);
    request.onupgradeneeded = () => NAMES.forEach((name) => request.result.createObjectStore(name));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export class Store {
  /** @param {IDBDatabase|null} database */
  constructor(database) {
    this.database = database;
    /** @type {Record<string, Map<string, any>>} */
    this.memory = { drafts: new Map(), outbox: new Map() };
  }

  /** True where what is kept outlives the page. */
  get lasting() {
    return this.database !== null;
  }

  /** @param {string} name @param {string} key @param {any} value @returns {Promise<void>} */
  put(name, key, value) {
    return this.#write(name, (store) => store.put(value, key), (map) => map.set(key, value));
  }

  /** @param {string} name @param {string} key @returns {Promise<void>} */
  remove(name, key) {
    return this.#write(name, (store) => store.delete(key), (map) => map.delete(key));
  }

  /** @param {string} name @param {string} key @returns {Promise<any>} */
  get(name, key) {
    return this.#read(name, (store) => store.get(key), (map) => map.get(key));
  }

  /** @param {string} name @returns {Promise<any[]>} */
  all(name) {
    return this.#read(name, (store) => store.getAll(), (map) => [...map.values()]);
  }

  /** @param {string} name @param {(store: IDBObjectStore) => void} change @param {(map: Map<string, any>) => void} remember @returns {Promise<void>} */
  #write(name, change, remember) {
    if (!this.database) {
      remember(this.memory[name]);
      return Promise.resolve();
    }
    const transaction = this.database.transaction(name, "readwrite", { durability: "strict" });
    change(transaction.objectStore(name));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }

  /** @param {string} name @param {(store: IDBObjectStore) => IDBRequest} ask @param {(map: Map<string, any>) => any} recall @returns {Promise<any>} */
  #read(name, ask, recall) {
    if (!this.database) return Promise.resolve(recall(this.memory[name]));
    const request = ask(this.database.transaction(name).objectStore(name));
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
}
