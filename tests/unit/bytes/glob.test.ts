import { expect, test } from "bun:test";
import fc from "fast-check";
import { globMatch, globMatchText, isLiteral, isMatchAll } from "../../../lib/bytes/glob.ts";
import { startRealRedis } from "../../support/real_redis.ts";

test("globs", () => {
  const rows: [string, string, boolean][] = [
    ["h?llo", "hello", true],
    ["h?llo", "hllo", false],
    ["h*llo", "heeeello", true],
    ["h*llo", "hllo", true],
    ["h[ae]llo", "hello", true],
    ["h[ae]llo", "hillo", false],
    ["h[^e]llo", "hallo", true],
    ["h[^e]llo", "hello", false],
    ["h[a-b]llo", "hbllo", true],
    ["h[b-a]llo", "hallo", true],
    ["\\*", "*", true],
    ["\\*", "a", false],
    ["a\\", "a\\", true],
    ["[\\]]", "]", true],
    ["[abc", "c", true],
    ["[", "[", false],
    ["[^", "x", true],
    ["a**", "a", true],
    ["**", "", false],
    ["", "", true],
    ["a", "", false],
    ["*a*b*c*", "xxaxxbxxcxx", true],
    ["*a*b*c*", "xxaxxcxxbxx", false],
    ["[a-\xff]", "b", false],
    ["[\x80-\xff]", "\x90", true],
  ];
  for (const [p, t, want] of rows) expect([p, t, globMatchText(p, t)]).toEqual([p, t, want]);
  expect(globMatchText("HE[K-M]*", "hello", true)).toBe(true);
  expect(globMatchText("HE[K-M]*", "hello")).toBe(false);
  expect(isMatchAll(Buffer.from("*"), 0, 1)).toBe(true);
  expect(isLiteral(Buffer.from("a.b"), 0, 3)).toBe(true);
  expect(isLiteral(Buffer.from("a?b"), 0, 3)).toBe(false);
});

test("abusive patterns end: many stars are refused, others stop at the first hopeless star", () => {
  expect(globMatchText("*?".repeat(1001) + "x", "a".repeat(3000) + "x")).toBe(false);
  expect(globMatchText("a*".repeat(100) + "b", "a".repeat(5000))).toBe(false);
});

test("it reads its regions only", () => {
  const p = Buffer.from("xxa*[b-d]xx");
  const t = Buffer.from("yyaZZcyy");
  expect(globMatch(p, 2, 9, t, 2, 6)).toBe(true);
  expect(globMatch(p, 2, 9, t, 2, 5)).toBe(false);
});

test("random globs match as on the real server", async () => {
  const redis = await startRealRedis();
  if (redis === null) return console.warn("skipped: no redis-server");
  try {
    const piece = (letters: string[]) => fc.array(fc.constantFrom(...letters), { maxLength: 8 }).map((l) => l.join(""));
    const pairs = fc.sample(
      fc.tuple(
        piece(["*", "?", "[", "]", "^", "-", "\\", "a", "b", "c", "B", "\xe9", "\xff", "**"]),
        piece(["a", "b", "c", "B", "-", "]", "\\", "\xe9", "\xff"]),
      ),
      { numRuns: 3000, seed: 3 },
    );
    const replies = await Promise.all(
      pairs.map(([p, t]) => {
        void redis.call("FLUSHALL");
        void redis.call("SET", t, "1");
        return redis.call("KEYS", p);
      }),
    );
    let matched = 0;
    for (let i = 0; i < pairs.length; i++) {
      const [p, t] = pairs[i];
      const real = (replies[i] as unknown[]).length === 1;
      if (real) matched++;
      expect([p, t, p === "*" || globMatchText(p, t)]).toEqual([p, t, real]);
    }
    expect(matched).toBeGreaterThan(50);
  } finally {
    await redis.stop();
  }
});
