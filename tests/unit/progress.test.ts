/** Long work shows itself: lines in a log, a bar on a terminal, INFO's fields. */
import { expect, test } from "bun:test";
import { Progress, workBar, workLine, type Work } from "../../lib/server/progress.ts";

const save = (done: number, more: Partial<Work> = {}): Work => ({
  name: "save",
  title: "Saving",
  done,
  total: 1000,
  unit: "keys",
  speaks: false,
  ...more,
});

test("a line says how far it is and how long it takes", () => {
  expect(workLine(save(250), 5000)).toBe("Saving: 25% (250 of 1000 keys), about 15 s left");
  expect(workLine(save(0), 0)).toBe("Saving: 0% (0 of 1000 keys)");
  expect(workLine(save(70, { total: 0, unit: "bytes" }), 5000)).toBe("Saving: 70 bytes");
  expect(workBar(save(500), 1000, 60)).toBe("[###############...............] Saving: 50% (500 of 1000 k");
});

function run(draw: ((text: string) => void) | null): { progress: Progress; said: string[]; works: Work[] } {
  const said: string[] = [];
  const works: Work[] = [];
  return { progress: new Progress({ notice: (text: string) => void said.push(text) } as never, draw, () => works), said, works };
}

test("into a log: a line every five seconds, none for what is short or speaks itself", () => {
  const { progress, said, works } = run(null);
  works.push(save(100), save(1, { name: "loading", title: "Loading", speaks: true }));
  for (let ms = 0; ms <= 11_000; ms += 100) progress.beat(ms);
  expect(said).toEqual(["Saving: 10% (100 of 1000 keys), about 45 s left", "Saving: 10% (100 of 1000 keys), about 90 s left"]);
  expect(progress.lines()[0]).toEqual(["work_save", "percent=10.00,done=100,total=1000,unit=keys,seconds_left=99"]);
  works.length = 0;
  progress.beat(12_000);
  expect(progress.lines()).toEqual([]);
  // Work of the same kind begins anew later: its time is its own.
  works.push(save(1));
  progress.beat(20_000);
  progress.beat(21_000);
  expect(said.length).toBe(2);
});

test("on a terminal: a bar that goes away, and no lines", () => {
  const drawn: string[] = [];
  const { progress, said, works } = run((text) => void drawn.push(text));
  works.push(save(500));
  for (let ms = 0; ms <= 6000; ms += 200) progress.beat(ms);
  expect(drawn[0]).toStartWith("\r\x1b[2K[###############...............] Saving: 50%");
  works.length = 0;
  progress.beat(7000);
  progress.beat(7200);
  expect([drawn.at(-1), drawn.filter((d) => d === "\r\x1b[2K").length, said]).toEqual(["\r\x1b[2K", 1, []]);
});
