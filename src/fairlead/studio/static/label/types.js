/**
 * What the modules of the labelling screen tell each other.  Types only.
 *
 * @typedef {Object} Message
 * @property {"system"|"user"|"assistant"} role
 * @property {string} html  rendered and cleaned by the server
 * @property {string} text  as it was written
 * @property {string} dir   "ltr", "rtl" or "auto"
 *
 * @typedef {Object} Answer
 * @property {string} letter  "A", "B", … in the order shown to this person
 * @property {string} html
 * @property {string} text
 * @property {string} dir
 *
 * @typedef {Object} Task
 * @property {string} token
 * @property {number} item
 * @property {string} kind
 * @property {Message[]} prompt
 * @property {Answer[]} answers
 * @property {{aspects: string[], chips: string[], points: number}} options
 * @property {string} render   digest of what is shown
 * @property {string} expires_at
 * @property {Draft|null} draft   what was being written, as the server has it
 *
 * @typedef {Object} Draft
 * @property {Object<string, any>} value  may be incomplete
 * @property {string[]} reasons
 * @property {string} note
 * @property {number} active_ms
 * @property {Object<string, number>} dwell_ms
 * @property {number} at   when, by this machine's clock; the later one counts
 *
 * @typedef {{n: number, choice: number, seen: Record<string, number>}} Choice  of a turn of a chat; `seen`: characters of each answer by then
 *
 * @typedef {Object} Sent  an answer on its way
 * @property {string} key     the idempotency key
 * @property {string} slug
 * @property {string} rater
 * @property {string} token
 * @property {number} item
 * @property {"judgement"|"skip"|"flag"} what
 * @property {Object<string, any>} body
 * @property {Draft} [draft]  what was typed, to be kept with a skip
 * @property {number} at
 * @property {Choice} [choice]  of a chat's last turn, where the server may not have it yet
 * @property {string} [said]    the answer in words
 * @property {string} [refused]  why the server will not have it; kept until somebody has looked
 *
 * @typedef {Object} View  one kind of task on the screen
 * @property {HTMLElement[]} stage                     what is read
 * @property {HTMLElement[]} dock                      what is answered
 * @property {() => Object<string, any>} read          the value so far
 * @property {(value: Object<string, any>) => void} write
 * @property {() => string} missing                    what is still to be done; "" when it can be sent
 * @property {() => string} say                        the answer in words
 * @property {Object<string, () => void>} actions      by the names in keys.js
 * @property {(key: string) => boolean} [key]          a key of the view's own; true if it was used
 * @property {Record<string, string>} [names]  what its numbered steps are called
 * @property {() => Record<string, any>} [ui]  what to keep about how the answer came about
 * @property {HTMLElement} [first]                     where typing begins
 * @property {() => Choice|undefined} [unsent]          a choice that has to arrive before the judgement
 * @property {() => number} [typed]                    characters that somebody wrote
 * @property {() => void} [forget]                     when it leaves the screen
 *
 * @typedef {Object} Context  what a view gets
 * @property {ReturnType<typeof import("./api.js").makeApi>} api
 * @property {() => void} changed          something was chosen or typed
 * @property {(text: string) => void} announce
 * @property {(text: string) => Promise<string>} preview  Markdown to HTML, by the server
 * @property {Map<string, string>} marks   action -> the key to show
 */
export {};
