/**
 * Browser storage for drafts and unsent submissions: IndexedDB, or memory where IndexedDB is not available.
 */

import { root } from "../root.js";

const STORE_NAMES = ["drafts", "outbox"];

/** @returns {Promise<Store>} */
export async function openStore() {
  try {
    return new Store(await openDatabase());
  } catch {
    return new Store(null);
  }
}

/** @returns {Promise<IDBDatabase>} */
function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(`fairlead-labels${root}`, 1);
    request.onupgradeneeded = () => STORE_NAMES.forEach((name) => request.result.createObjectStore(name));
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

  /** True if stored values survive a reload. */
  get isPersistent() {
    return this.database !== null;
  }

  /** @param {string} name @param {string} key @param {any} value @returns {Promise<void>} */
  put(name, key, value) {
    return this.#write(
      name,
      (store) => store.put(value, key),
      (map) => map.set(key, value),
    );
  }

  /** @param {string} name @param {string} key @returns {Promise<void>} */
  remove(name, key) {
    return this.#write(
      name,
      (store) => store.delete(key),
      (map) => map.delete(key),
    );
  }

  /** @param {string} name @param {string} key @returns {Promise<any>} */
  get(name, key) {
    return this.#read(
      name,
      (store) => store.get(key),
      (map) => map.get(key),
    );
  }

  /** @param {string} name @returns {Promise<any[]>} */
  all(name) {
    return this.#read(
      name,
      (store) => store.getAll(),
      (map) => [...map.values()],
    );
  }

  /**
   * @param {string} name
   * @param {(store: IDBObjectStore) => void} writeStore
   * @param {(map: Map<string, any>) => void} writeMemory
   * @returns {Promise<void>}
   */
  #write(name, writeStore, writeMemory) {
    if (!this.database) {
      writeMemory(this.memory[name]);
      return Promise.resolve();
    }
    const transaction = this.database.transaction(name, "readwrite", { durability: "strict" });
    writeStore(transaction.objectStore(name));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }

  /**
   * @param {string} name
   * @param {(store: IDBObjectStore) => IDBRequest} readStore
   * @param {(map: Map<string, any>) => any} readMemory
   * @returns {Promise<any>}
   */
  #read(name, readStore, readMemory) {
    if (!this.database) return Promise.resolve(readMemory(this.memory[name]));
    const request = readStore(this.database.transaction(name).objectStore(name));
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
}
