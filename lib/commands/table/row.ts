/**
 * What a row of the command table is: the literal that the group files are written in, and the Row that everyone reads.
 *
 *   string.ts, hash.ts, ... (CommandLiteral) --index.ts, once at load--> Row (bits, key specs, first/last/step)
 *
 * A literal is data only, short enough to read. Its mini-languages:
 *   flags  words of FLAG and, with an @, of ACL: "write denyoom fast @string". Categories that follow from flags are left out.
 *   keys   one spec after another, separated by ";". Each is <where> <flags> [-- note]:
 *            1         the argument at index 1           1..-1     from 1 to the last one; 1..-1:2 every second of them
 *            STORE@6   the one after the word STORE, searched from index 6 (negative: from the end, backwards)
 *            STREAMS@4..-1/2   from after the word on, the first half of what is left
 *            2#        the argument at 2 counts the keys, which follow it
 *            ?         cannot be told from positions
 *   args   the argument tree for COMMAND DOCS; its grammar is in args.ts, which reads it when somebody asks.
 *
 * Leaves out: implementations (bound elsewhere by name), searching keys in a request (keys.ts), the replies of COMMAND.
 */

/** Command flags. The first ones, up to ALLOW_BUSY, are shown by COMMAND under these names; the rest is redisha's and Redis' own. */
export const FLAG = {
  write: 1 << 0,
  readonly: 1 << 1,
  denyoom: 1 << 2,
  module: 1 << 3,
  admin: 1 << 4,
  pubsub: 1 << 5,
  noscript: 1 << 6,
  blocking: 1 << 7,
  loading: 1 << 8,
  stale: 1 << 9,
  skip_monitor: 1 << 10,
  skip_slowlog: 1 << 11,
  asking: 1 << 12,
  fast: 1 << 13,
  no_auth: 1 << 14,
  no_mandatory_keys: 1 << 15,
  no_async_loading: 1 << 16,
  no_multi: 1 << 17,
  movablekeys: 1 << 18,
  allow_busy: 1 << 19,
  // Never shown:
  may_replicate: 1 << 20,
  sentinel: 1 << 21,
  only_sentinel: 1 << 22,
  protected: 1 << 23,
  touches_arbitrary_keys: 1 << 24,
} as const;

/** Names of the flags that COMMAND shows, in its order. */
export const SHOWN_FLAGS: readonly (keyof typeof FLAG)[] = (Object.keys(FLAG) as (keyof typeof FLAG)[]).slice(0, 20);

/** ACL categories, in the order in which ACL CAT and COMMAND show them. */
export const ACL = {
  keyspace: 1 << 0,
  read: 1 << 1,
  write: 1 << 2,
  set: 1 << 3,
  sortedset: 1 << 4,
  list: 1 << 5,
  hash: 1 << 6,
  string: 1 << 7,
  bitmap: 1 << 8,
  hyperloglog: 1 << 9,
  geo: 1 << 10,
  stream: 1 << 11,
  pubsub: 1 << 12,
  admin: 1 << 13,
  fast: 1 << 14,
  slow: 1 << 15,
  blocking: 1 << 16,
  dangerous: 1 << 17,
  connection: 1 << 18,
  transaction: 1 << 19,
  scripting: 1 << 20,
} as const;

/** What a command does with a key, in the order in which COMMAND shows it. Exactly one of RO RW OW RM, unless not_key. */
export const KEY = {
  RO: 1 << 0,
  RW: 1 << 1,
  OW: 1 << 2,
  RM: 1 << 3,
  access: 1 << 4,
  update: 1 << 5,
  insert: 1 << 6,
  delete: 1 << 7,
  not_key: 1 << 8,
  incomplete: 1 << 9,
  variable_flags: 1 << 10,
} as const;

/** Commands whose keys, or what is done with them, the specs alone cannot tell: keys.ts has a search for each. */
export type KeySearch = "set" | "bitfield" | "sort" | "sort_ro" | "migrate" | "georadius";

/** One command, as the group files write it. */
export interface CommandLiteral {
  /** Number of arguments with the name; -n for n or more. A subcommand counts its container too. */
  readonly arity: number;
  /** First Redis version that has it. */
  readonly since: string;
  readonly flags?: string;
  readonly keys?: string;
  readonly keysBy?: KeySearch;
  /** Channels among its arguments, for the ACL: the first one, or all of them as names or as patterns. Leaving channels is free. */
  readonly channels?: "publish" | "names" | "patterns";
  /** Hints for clients and proxies, as words: "request_policy:all_shards response_policy:agg_sum". */
  readonly tips?: string;
  /** Complexity; O(1) when it is not given, nothing when it is empty. */
  readonly cost?: string;
  readonly summary: string;
  readonly args?: string;
  /** What changed, each entry beginning with the version. */
  readonly history?: readonly string[];
  /** Version that deprecated it, then what takes its place. */
  readonly deprecated?: string;
  /** Meant for servers and developers among themselves. */
  readonly system?: true;
  readonly subcommands?: CommandLiterals;
}
export type CommandLiterals = Readonly<Record<string, CommandLiteral>>;

/** The HELP subcommand that most containers have. `of` is the container's name, upper case. */
export function help(of: string, since: string, flags: string): CommandLiteral {
  return { arity: 2, since, flags, summary: `The subcommands of ${of}, explained.` };
}

/** How a key spec finds its first key. */
export const BY_INDEX = 0;
export const BY_KEYWORD = 1;
export const BY_NOTHING = 2;
/** How it goes on from there. */
export const FIND_RANGE = 0;
export const FIND_KEYNUM = 1;
export const FIND_NOTHING = 2;

/** One key spec; fields that its kinds do not use are 0 or "". */
export interface KeySpec {
  readonly flags: number;
  readonly note: string;
  readonly begin: typeof BY_INDEX | typeof BY_KEYWORD | typeof BY_NOTHING;
  /** BY_INDEX: position of the first key. BY_KEYWORD: where the search begins, negative from the end backwards. */
  readonly index: number;
  /** BY_KEYWORD: the word, upper case; `word` is the same in lower case. */
  readonly keyword: string;
  readonly word: string;
  readonly find: typeof FIND_RANGE | typeof FIND_KEYNUM | typeof FIND_NOTHING;
  /** FIND_RANGE: last key counted from the first one, or when negative from the end of the arguments. */
  readonly last: number;
  readonly step: number;
  /** FIND_RANGE with last -1: 2 when only the first half of the rest are keys, else 0. */
  readonly limit: number;
}

/** Where keys lie: nowhere; at first/last/step and nowhere else; keys.ts must look. */
export const NO_KEYS = 0;
export const KEYS_BY_RANGE = 1;
export const KEYS_BY_SEARCH = 2;

/** One command as everyone reads it. Of fixed shape; nothing in it changes after load. */
export class Row {
  /** 0, 1, 2 ... within its table, containers before their subcommands. */
  readonly id: number;
  /** Lower case, as replies and errors show it: `get`, `client|list`. */
  readonly name: string;
  /** The last part of it: `get`, `list`. */
  readonly shortName: string;
  readonly parent: Row | null;
  readonly group: string;
  readonly arity: number;
  /** FLAG bits. */
  readonly flags: number;
  /** ACL bits, with those that follow from the flags. */
  readonly acl: number;
  readonly keys: readonly KeySpec[];
  /** Union of the specs' KEY bits. */
  readonly keyFlags: number;
  readonly keysBy: KeySearch | null;
  readonly channels: "publish" | "names" | "patterns" | null;
  /** NO_KEYS, KEYS_BY_RANGE or KEYS_BY_SEARCH. */
  readonly keysKind: number;
  /** What COMMAND shows: positions of the keys that lie at fixed places; 0 0 0 when there are none. */
  readonly firstKey: number;
  readonly lastKey: number;
  readonly keyStep: number;
  /** The literal, for documentation. */
  readonly doc: CommandLiteral;
  /** In the table's order; null for a command that is no container. */
  subcommands: Row[] | null;

  constructor(id: number, name: string, parent: Row | null, group: string, doc: CommandLiteral) {
    this.id = id;
    this.name = parent === null ? name : `${parent.name}|${name}`;
    this.shortName = name;
    this.parent = parent;
    this.group = group;
    this.arity = doc.arity;
    const places = once(placesOf, doc.keys ?? "", readPlaces);
    this.keys = places.specs;
    this.keyFlags = places.flags;
    this.keysBy = doc.keysBy ?? null;
    this.channels = doc.channels ?? null;
    this.keysKind = places.kind;
    this.firstKey = places.first;
    this.lastKey = places.last;
    this.keyStep = places.step;
    const bits = once(bitsOf, doc.flags ?? "", readFlags);
    this.flags = bits.flags | (places.movable ? FLAG.movablekeys : 0);
    this.acl = bits.acl;
    this.doc = doc;
    this.subcommands = null;
  }

  /** True when `argc` arguments, the name included, are a possible number. */
  takes(argc: number): boolean {
    return this.arity >= 0 ? argc === this.arity : argc >= -this.arity;
  }
}

/** What a `keys` text says, worked out. */
interface Places {
  specs: readonly KeySpec[];
  flags: number;
  kind: number;
  first: number;
  last: number;
  step: number;
  movable: boolean;
}
// Many rows share their texts: each text is read once, which keeps loading under three milliseconds.
const placesOf = new Map<string, Places>();
const bitsOf = new Map<string, { flags: number; acl: number }>();

function once<T>(cache: Map<string, T>, text: string, read: (text: string) => T): T {
  let value = cache.get(text);
  if (value === undefined) {
    value = read(text);
    cache.set(text, value);
  }
  return value;
}

function bit<T extends Record<string, number>>(of: T, name: string): number {
  const b = of[name];
  if (b === undefined) throw new Error(`command table: unknown word ${name}`);
  return b;
}

function readFlags(text: string): { flags: number; acl: number } {
  let flags = 0;
  let acl = 0;
  if (text !== "")
    for (const word of text.split(" ")) {
      if (word.charCodeAt(0) === 64) acl |= bit(ACL, word.slice(1));
      else flags |= bit(FLAG, word);
    }
  return { flags, acl: acl | impliedCategories(flags, acl) };
}

/** Redis server.c setImplicitACLCategories: categories that a command gets for its flags. */
function impliedCategories(flags: number, given: number): number {
  let acl = 0;
  if (flags & FLAG.write) acl |= ACL.write;
  if (flags & FLAG.readonly && !(given & ACL.scripting)) acl |= ACL.read;
  if (flags & FLAG.admin) acl |= ACL.admin | ACL.dangerous;
  if (flags & FLAG.pubsub) acl |= ACL.pubsub;
  if (flags & FLAG.fast) acl |= ACL.fast;
  if (flags & FLAG.blocking) acl |= ACL.blocking;
  if (!((given | acl) & ACL.fast)) acl |= ACL.slow;
  return acl;
}

function readPlaces(text: string): Places {
  const specs = text === "" ? [] : text.split("; ").map(readSpec);
  let flags = 0;
  for (const spec of specs) flags |= spec.flags;
  const range = legacyRange(specs);
  const real = specs.some((spec) => (spec.flags & KEY.not_key) === 0);
  const kind = !real ? NO_KEYS : range.movable ? KEYS_BY_SEARCH : KEYS_BY_RANGE;
  return { specs, flags, kind, first: range.first, last: range.last, step: range.step, movable: range.movable };
}

function readSpec(text: string): KeySpec {
  const dash = text.indexOf(" -- ");
  const note = dash < 0 ? "" : text.slice(dash + 4);
  const [where, ...words] = (dash < 0 ? text : text.slice(0, dash)).split(" ");
  let flags = 0;
  for (const word of words) flags |= bit(KEY, word);
  return readWhere(where, flags, note);
}

/** Reads `1..-1:2`, `STORE@6`, `STREAMS@4..-1/2`, `2#`, `?`. */
function readWhere(text: string, flags: number, note: string): KeySpec {
  if (text === "?") return spec(flags, note, BY_NOTHING, 0, "", FIND_NOTHING, 0, 0, 0);
  const sign = text.indexOf("@");
  const keyword = sign < 0 ? "" : text.slice(0, sign);
  const begin = sign < 0 ? BY_INDEX : BY_KEYWORD;
  const index = Number.parseInt(text.slice(sign + 1), 10);
  if (Number.isNaN(index)) throw new Error(`command table: no key position: ${text}`);
  if (text.endsWith("#")) return spec(flags, note, begin, index, keyword, FIND_KEYNUM, 0, 1, 0);
  const to = numberAfter(text, "..", 0);
  const last = to > 0 ? to - index : to;
  return spec(flags, note, begin, index, keyword, FIND_RANGE, last, numberAfter(text, ":", 1), numberAfter(text, "/", 0));
}

function numberAfter(text: string, mark: string, otherwise: number): number {
  const i = text.indexOf(mark);
  return i < 0 ? otherwise : Number.parseInt(text.slice(i + mark.length), 10);
}

function spec(
  flags: number,
  note: string,
  begin: KeySpec["begin"],
  index: number,
  keyword: string,
  find: KeySpec["find"],
  last: number,
  step: number,
  limit: number,
): KeySpec {
  return { flags, note, begin, index, keyword, word: keyword.toLowerCase(), find, last, step, limit };
}

/**
 * First, last and step of the keys as COMMAND shows them, and whether keys may lie elsewhere too (Redis server.c
 * populateCommandLegacyRangeSpec): one plain range is taken as it is; of several, those that follow each other with step 1.
 */
function legacyRange(specs: readonly KeySpec[]): { first: number; last: number; step: number; movable: boolean } {
  if (specs.length === 0) return { first: 0, last: 0, step: 0, movable: false };
  const plain = (s: KeySpec) => s.begin === BY_INDEX && s.find === FIND_RANGE;
  const end = (s: KeySpec) => (s.last >= 0 ? s.index + s.last : s.last);
  let movable = specs.some((s) => (s.flags & KEY.incomplete) !== 0 || !plain(s));
  const only = specs[0];
  if (specs.length === 1 && plain(only)) return { first: only.index, last: end(only), step: only.step, movable };
  let first = 0;
  let last = 0;
  for (const s of specs) {
    if (!plain(s)) continue;
    if (s.step !== 1 || (last !== 0 && last !== s.index - 1)) {
      movable = true;
      continue;
    }
    if (first === 0 || s.index < first) first = s.index;
    // A negative end lies behind every positive one.
    if (last >= 0 && (end(s) < 0 || end(s) > last)) last = end(s);
  }
  return { first, last, step: first === 0 ? 0 : 1, movable };
}
