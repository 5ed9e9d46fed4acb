/**
 * The modes that walk through all keys: --scan, --bigkeys, --memkeys, --hotkeys. Cold. Lines are redis-cli's.
 * Each asks for one page of SCAN, then for the types and sizes of its keys in one pipeline; Ctrl-C ends the walk and shows what is known.
 */
import { quoteArg } from "../bytes/args.ts";
import type { Channel } from "./channel.ts";
import type { CliOptions } from "./options.ts";
import { complain, print } from "./terminal.ts";
import type { Value } from "./value.ts";

let interrupted = false;
/** From now on Ctrl-C ends the walk instead of the program. */
function stopOnInterrupt(): void {
  process.on("SIGINT", () => {
    interrupted = true;
  });
}

function fail(text: string): never {
  complain(text);
  process.exit(1);
}

/** One page of keys and the next cursor. */
async function scan(channel: Channel, cursor: string, pattern: string | null): Promise<{ cursor: string; keys: string[] }> {
  const reply = await channel.ask("SCAN", cursor, ...(pattern !== null ? ["MATCH", pattern] : []));
  if (reply.kind === "error") fail(`SCAN error: ${reply.text}\n`);
  if (reply.kind !== "array") fail("Non ARRAY response from SCAN!\n");
  if (reply.items.length !== 2) fail("Invalid element count from SCAN!\n");
  return { cursor: reply.items[0].text, keys: reply.items[1].items.map((key) => key.text) };
}

export async function scanMode(channel: Channel, options: CliOptions): Promise<never> {
  stopOnInterrupt();
  let cursor = "0";
  do {
    const page = await scan(channel, cursor, options.pattern);
    cursor = page.cursor;
    print(page.keys.map((key) => `${options.output === "standard" ? quoteArg(key) : key}\n`).join(""));
    if (options.intervalMs > 0) await Bun.sleep(options.intervalMs);
  } while (!interrupted && cursor !== "0");
  process.exit(0);
}

async function databaseSize(channel: Channel): Promise<number> {
  const reply = await channel.ask("DBSIZE");
  if (reply.kind === "error") fail(`Couldn't determine DBSIZE: ${reply.text}\n`);
  if (reply.kind !== "integer") fail("Non INTEGER response from DBSIZE!\n");
  return Number(reply.text);
}

/** Walks through the keys; `page` gets each page and how many per cent were seen before it. Returns the last of these. */
async function walk(
  channel: Channel,
  options: CliOptions,
  what: string,
  page: (keys: string[], percent: string) => Promise<void>,
  sampled: () => number,
): Promise<string> {
  stopOnInterrupt();
  const total = await databaseSize(channel);
  print(
    `\n# Scanning the entire keyspace to find ${what} keys as well as\n# average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec\n` +
      "# per 100 SCAN commands (not usually needed).\n\n",
  );
  let cursor = "0";
  let shown = "";
  let loops = 0;
  do {
    shown = percentText(sampled(), total);
    const found = await scan(channel, cursor, options.pattern);
    cursor = found.cursor;
    await page(found.keys, shown);
    if (options.intervalMs > 0 && ++loops % 100 === 0) await Bun.sleep(options.intervalMs);
  } while (!interrupted && cursor !== "0");
  return shown;
}

/** printf's %05.2f%% of a share; 0 of 0 is no number there either. */
function percentText(part: number, whole: number): string {
  return whole === 0 ? " -nan%" : `${((100 * part) / whole).toFixed(2).padStart(5, "0")}%`;
}

interface TypeCount {
  name: string;
  sizeCommand: string | null;
  unit: string;
  biggest: number;
  biggestKey: string | null;
  count: number;
  total: number;
}

/** In the order in which redis-cli lists them. */
function typeCounts(): Map<string, TypeCount> {
  const rows: [string, string, string][] = [
    ["list", "LLEN", "items"],
    ["hash", "HLEN", "fields"],
    ["string", "STRLEN", "bytes"],
    ["stream", "XLEN", "entries"],
    ["set", "SCARD", "members"],
    ["zset", "ZCARD", "members"],
  ];
  return new Map(rows.map(([name, sizeCommand, unit]) => [name, newType(name, sizeCommand, unit)]));
}

function newType(name: string, sizeCommand: string | null, unit: string): TypeCount {
  return { name, sizeCommand, unit, biggest: 0, biggestKey: null, count: 0, total: 0 };
}

async function keyTypes(channel: Channel, types: Map<string, TypeCount>, keys: string[]): Promise<(TypeCount | null)[]> {
  for (const key of keys) channel.send(["TYPE", key]);
  const found: (TypeCount | null)[] = [];
  for (const key of keys) {
    const reply = await channel.next();
    if (reply.kind === "error") fail(`TYPE returned an error: ${reply.text}\n`);
    if (reply.kind !== "status") fail(`Invalid reply type (${reply.kind}) for TYPE on key '${key}'!\n`);
    // "none": gone between SCAN and TYPE. Types of modules are counted, not measured.
    if (!types.has(reply.text) && reply.text !== "none") types.set(reply.text, newType(reply.text, null, "?"));
    found.push(types.get(reply.text) ?? null);
  }
  return found;
}

async function keySizes(
  channel: Channel,
  keys: string[],
  types: (TypeCount | null)[],
  memory: boolean,
  samples: number,
): Promise<number[]> {
  const asked = types.map((type) => type !== null && (memory || type.sizeCommand !== null));
  keys.forEach((key, i) => {
    if (!asked[i]) return;
    if (!memory) channel.send([types[i]!.sizeCommand!, key]);
    else channel.send(["MEMORY", "USAGE", key, ...(samples > 0 ? ["SAMPLES", String(samples)] : [])]);
  });
  const sizes: number[] = [];
  for (let i = 0; i < keys.length; i++) {
    const reply: Value | null = asked[i] ? await channel.next() : null;
    if (reply !== null && reply.kind !== "integer")
      complain(`Warning:  ${memory ? "MEMORY USAGE" : types[i]!.sizeCommand} on '${keys[i]}' failed (may have changed type)\n`);
    sizes.push(reply?.kind === "integer" ? Number(reply.text) : 0);
  }
  return sizes;
}

/** --bigkeys counts elements, --memkeys bytes. */
export async function bigKeys(channel: Channel, options: CliOptions): Promise<never> {
  const memory = options.special === "memkeys";
  const types = typeCounts();
  let sampled = 0;
  let keyBytes = 0;
  const onPage = async (keys: string[], percent: string): Promise<void> => {
    const found = await keyTypes(channel, types, keys);
    const sizes = await keySizes(channel, keys, found, memory, options.memkeySamples);
    keys.forEach((key, i) => {
      const type = found[i];
      if (type === null) return;
      type.total += sizes[i];
      type.count++;
      keyBytes += key.length;
      sampled++;
      if (sizes[i] > type.biggest) {
        type.biggest = sizes[i];
        type.biggestKey = quoteArg(key);
        const unit = memory ? "bytes" : type.unit;
        print(`[${percent}] Biggest ${type.name.padEnd(6)} found so far '${type.biggestKey}' with ${sizes[i]} ${unit}\n`);
      }
      if (sampled % 1_000_000 === 0) print(`[${percent}] Sampled ${sampled} keys so far\n`);
    });
  };
  const last = await walk(channel, options, "biggest", onPage, () => sampled);
  print(`\n-------- summary -------\n\n${interrupted ? `[${last}] ` : ""}Sampled ${sampled} keys in the keyspace!\n`);
  print(`Total key length in bytes is ${keyBytes} (avg len ${(keyBytes === 0 ? 0 : keyBytes / sampled).toFixed(2)})\n\n`);
  for (const type of types.values())
    if (type.biggestKey !== null)
      print(`Biggest ${type.name.padStart(6)} found '${type.biggestKey}' has ${type.biggest} ${memory ? "bytes" : type.unit}\n`);
  print("\n");
  for (const type of types.values()) {
    const share = sampled === 0 ? "00.00%" : percentText(type.count, sampled);
    const average = (type.count === 0 ? 0 : type.total / type.count).toFixed(2);
    print(`${type.count} ${type.name}s with ${type.total} ${memory ? "bytes" : type.unit} (${share} of keys, avg size ${average})\n`);
  }
  process.exit(0);
}

const HOT_KEYS = 16;

/** --hotkeys: the keys with the highest LFU counters. */
export async function hotKeys(channel: Channel, options: CliOptions): Promise<never> {
  // Ascending; a new key pushes the coldest out.
  const pool: { counter: number; key: string }[] = [];
  let sampled = 0;
  const onPage = async (keys: string[], percent: string): Promise<void> => {
    for (const key of keys) channel.send(["OBJECT", "FREQ", key]);
    for (const key of keys) {
      const reply = await channel.next();
      if (reply.kind === "error") fail(`Error: ${reply.text}\n`);
      if (reply.kind !== "integer") complain(`Warning: OBJECT freq on '${quoteArg(key)}' failed (may have been deleted)\n`);
      const counter = reply.kind === "integer" ? Number(reply.text) : 0;
      sampled++;
      if (sampled % 1_000_000 === 0) print(`[${percent}] Sampled ${sampled} keys so far\n`);
      if (counter === 0 || (pool.length === HOT_KEYS && counter <= pool[0].counter)) continue;
      if (pool.length === HOT_KEYS) pool.shift();
      const place = pool.findIndex((hot) => hot.counter >= counter);
      pool.splice(place < 0 ? pool.length : place, 0, { counter, key: quoteArg(key) });
      print(`[${percent}] Hot key '${quoteArg(key)}' found so far with counter ${counter}\n`);
    }
  };
  const last = await walk(channel, options, "hot", onPage, () => sampled);
  print(`\n-------- summary -------\n\n${interrupted ? `[${last}] ` : ""}Sampled ${sampled} keys in the keyspace!\n`);
  for (const hot of pool.reverse()) print(`hot key found with counter: ${hot.counter}\tkeyname: ${hot.key}\n`);
  process.exit(0);
}
