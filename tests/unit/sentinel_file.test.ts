/** What a Sentinel writes it can read: any names, passwords and settings go through the file and come back; both ways of keeping the state. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { splitArgs } from "../../lib/bytes/args.ts";
import { rewriteConfigText } from "../../lib/config/rewrite.ts";
import { sentinelEntries, sentinelKeyOf } from "../../lib/config/sentinel_conf.ts";
import { SentinelEngine } from "../../lib/sentinel/core/engine.ts";
import { mergeLines, readVotes, type SentinelLine } from "../../lib/sentinel/state_file.ts";

const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)), minLength: 1, maxLength: 12 });
const port = fc.integer({ min: 1, max: 65535 }).map(String);
const ms = fc.integer({ min: 1, max: 1e9 }).map(String);
const hex40 = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 40, maxLength: 40 });

const setting = (name: string): fc.Arbitrary<string[][]> =>
  fc
    .record({ port, quorum: fc.integer({ min: 1, max: 9 }), down: ms, pass: latin1, user: latin1, from: latin1, to: latin1, peer: hex40 })
    .map((r) => [
      ["monitor", name, "10.0.0.1", r.port, String(r.quorum)],
      ["down-after-milliseconds", name, r.down],
      ["auth-pass", name, r.pass],
      ["auth-user", name, r.user],
      ["rename-command", name, r.from, r.to],
      ["auto-failover", name, "no"],
      ["webhook", name, "http://10.0.0.9/x?a=b"],
      ["known-replica", name, "10.0.0.2", r.port],
      ["known-sentinel", name, "10.0.0.3", r.port, r.peer],
    ]);
const whole = fc
  .uniqueArray(latin1, { minLength: 1, maxLength: 3 })
  .chain((names) => fc.tuple(...names.map(setting)))
  .map((parts) => parts.flat());

function engine(directives: string[][]): SentinelEngine {
  const made = SentinelEngine.create({ directives, freshId: "f".repeat(40), port: 26379, requirepass: "" }, 0);
  if ("text" in made) throw new Error(`${made.text} ${JSON.stringify(directives[made.index])}`);
  return made;
}

/** The `sentinel` lines of a file's text. */
function linesOf(text: string): SentinelLine[] {
  return text
    .split("\n")
    .map((line, i) => ({ words: splitArgs(line), file: "f", line: i + 1, text: line }))
    .filter((l) => l.words !== null && l.words[0] === "sentinel")
    .map((l) => ({ ...l, words: l.words!.slice(1) }));
}

const keyOf = sentinelKeyOf((words) => (words[0] === "sentinel" && words.length > 1 ? `sentinel ${words[1].toLowerCase()}` : "other"));

test("written into the configuration file and read again, it is the same, also when written again and again", () => {
  fc.assert(
    fc.property(whole, (directives) => {
      const first = engine(directives).directives();
      const text = rewriteConfigText("# mine\nport 26379\n", sentinelEntries(first), keyOf);
      expect(text).toStartWith("# mine\nport 26379\n");
      const again = engine(linesOf(text).map((l) => l.words)).directives();
      expect(again).toEqual(first);
      // (An empty line may join the end once.)
      const second = rewriteConfigText(text, sentinelEntries(again), keyOf);
      expect(rewriteConfigText(second, sentinelEntries(again), keyOf)).toBe(second);
    }),
    { numRuns: 100 },
  );
});

test("a state of its own and the configuration make the same engine as one file", () => {
  fc.assert(
    fc.property(whole, port, (directives, moved) => {
      const main = linesOf(
        sentinelEntries(directives)
          .flatMap((e) => e.line ?? [])
          .join("\n"),
      );
      // The state has moved on: another address for every master.
      const now = directives.map((d) => (d[0] === "monitor" ? [d[0], d[1], d[2], moved, d[4]] : d));
      const state = engine(now).directives();
      const own = linesOf(
        sentinelEntries(state)
          .flatMap((e) => e.line ?? [])
          .join("\n"),
      );
      const merged = mergeLines(main, own).map((l) => l.words);
      expect(engine(merged).directives()).toEqual(state);
    }),
    { numRuns: 30 },
  );
});

test("votes in comments: those that are none are passed over", () => {
  const id = "a".repeat(40);
  const text = `# sentinel voted-for "my \\"m\\"" ${id} 7\n# sentinel voted-for x short 1\n# sentinel voted-for y ${id} -1\n# else\n`;
  expect(readVotes(text)).toEqual({ 'my "m"': [id, 7] });
});
