/**
 * Types shared by the modules of the labelling screen.  No code.
 *
 * `Draft` and `Submission` are stored in IndexedDB: an answer stored before an update has to be readable
 * after it.
 *
 * @typedef {Object} Message
 * @property {"system"|"user"|"assistant"} role
 * @property {string} html  rendered and sanitised by the server
 * @property {string} text  the source text
 * @property {string} dir   "ltr", "rtl" or "auto"
 *
 * @typedef {Object} Answer
 * @property {string} letter  "A", "B", … in the order shown to this rater
 * @property {string} html
 * @property {string} text
 * @property {string} dir
 *
 * @typedef {Object} Task
 * @property {string} token  names the assignment in every request
 * @property {number} item
 * @property {string} kind
 * @property {Message[]} prompt
 * @property {Answer[]} answers
 * @property {{aspects: string[], chips: string[], points: number}} options
 * @property {string} render   digest of the content shown
 * @property {string} expires_at
 * @property {Draft|null} draft   the server's copy of the draft
 * @property {Draft|null} judgement   the rater's answer, if the task was answered before
 *
 * @typedef {Object} Draft
 * @property {Object<string, any>} value  may be incomplete
 * @property {string[]} reasons
 * @property {string} note
 * @property {number} active_ms
 * @property {Object<string, number>} dwell_ms
 * @property {number} at   local clock; the newer of two drafts wins
 * @property {string} [token]   of the task; only in this browser's copy, as are the next three
 * @property {string} [rater]
 * @property {string} [slug]
 * @property {number} [item]
 *
 * @typedef {Object} TurnChoice  the preference for one turn of a chat
 * @property {number} n
 * @property {number} choice
 * @property {Record<string, number>} seen  characters of each answer on the screen at the time of the choice
 *
 * @typedef {Object} Submission  a request about a task, stored until the server acknowledges it
 * @property {string} key     idempotency key
 * @property {string} slug
 * @property {string} rater
 * @property {string} token
 * @property {number} item
 * @property {"judgement"|"skip"|"flag"} what
 * @property {Object<string, any>} body
 * @property {Draft} [draft]  the text of a skipped task
 * @property {number} at
 * @property {TurnChoice} [choice]  a choice in a chat that the server may not have yet
 * @property {string} [summary]     the answer in words
 * @property {boolean} [corrects]    replaces an answer that is counted already
 * @property {boolean} [replaces]    the rater knows that it replaces an earlier answer
 * @property {string} [refused]     the server's reason for rejecting it
 *
 * @typedef {Object} Question
 * @property {string} title
 * @property {string} description
 * @property {string} yes            what sending means
 * @property {string} no             what going back means
 * @property {() => void} confirm    called before the value is read again
 *
 * @typedef {Object} View  one task kind on the screen
 * @property {HTMLElement[]} content                   prompt and answers
 * @property {HTMLElement[]} controls                  inputs for the judgement
 * @property {() => Object<string, any>} read          the value so far
 * @property {(value: Object<string, any>) => void} write
 * @property {() => string} missing                    what is left to do; "" when the value is complete
 * @property {() => Question|null} [question]  what to ask before the value is sent, if it looks like a slip
 * @property {() => string} summary                    the value in words
 * @property {Object<string, () => void>} actions      action name in shortcuts.js -> handler
 * @property {(key: string) => boolean} [handleKey]  sees each key first; true if it used the key
 * @property {Record<string, string>} [actionNames]  labels of numbered actions, for the list of shortcuts
 * @property {() => Record<string, any>} [details]     stored in the `ui` field of the judgement
 * @property {HTMLElement} [firstField]                gets the focus when the task opens
 * @property {() => TurnChoice|undefined} [takeUnsentChoice]  has to reach the server before the judgement
 * @property {() => number} [typedLength]              characters typed
 * @property {() => void} [dispose]                    called when the task leaves the screen
 *
 * @typedef {Object} Context  services for a view
 * @property {ReturnType<typeof import("./api.js").createApi>} api
 * @property {() => void} changed          call after every change of the value
 * @property {(text: string) => void} announce
 * @property {(text: string) => Promise<string>} preview  Markdown to HTML, rendered by the server
 * @property {Map<string, string>} keys    action name -> key
 */
export {};
