/** Deadlines come in order, moved and removed ones too. */
import { expect, test } from "bun:test";
import { nowMs, Timers, type Timed } from "../../../lib/proxy/timers.ts";

function timed(name: string, log: string[]): Timed {
  return { deadlineMs: 0, heapAt: -1, expire: () => void log.push(name) };
}

test("deadlines fire in order; what was moved fires at its new time, what was removed never", async () => {
  const timers = new Timers();
  const log: string[] = [];
  const [a, b, c, d] = ["a", "b", "c", "d"].map((n) => timed(n, log)) as [Timed, Timed, Timed, Timed];
  const now = nowMs();
  timers.set(a, now + 30);
  timers.set(b, now + 10);
  timers.set(c, now + 20);
  timers.set(d, now + 5);
  timers.set(b, now + 40);
  timers.remove(d);
  expect(timers.size).toBe(3);
  while (timers.size > 0) await Bun.sleep(5);
  expect(log).toEqual(["c", "a", "b"]);
});

test("a thousand deadlines set, moved and removed at random stay in order", () => {
  const timers = new Timers();
  const all = Array.from({ length: 1000 }, (_, i) => timed(String(i), []));
  let seed = 7;
  const random = (): number => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  const far = nowMs() + 1e6;
  for (const t of all) timers.set(t, far + random() * 1e6);
  for (let i = 0; i < 500; i++) timers.set(all[Math.floor(random() * 1000)]!, far + random() * 1e6);
  for (let i = 0; i < 300; i++) timers.remove(all[Math.floor(random() * 1000)]!);
  const heap = (timers as unknown as { heap: Timed[] }).heap;
  heap.forEach((t, i) => {
    expect(t.heapAt).toBe(i);
    if (i > 0) expect(heap[(i - 1) >> 1]!.deadlineMs).toBeLessThanOrEqual(t.deadlineMs);
  });
  timers.clear();
});
