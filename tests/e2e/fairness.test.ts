/**
 * One client's megabytes do not keep the others waiting: a client gets a slice of a turn, then the others theirs (lib/clients/ingest.ts).
 * Shown by counts, not by time: how often a second client is answered while the first one's pipeline is being worked off.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { startServer } from "../support/programs.ts";
import { Wire } from "../support/wire.ts";

setDefaultTimeout(120_000);

const REQUESTS = 300_000;
const INCR = "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";

test("a pipeline of megabytes, and another client's requests in its midst", async () => {
  await using server = await startServer("redisha");
  const hog = await Wire.connect(server.port);
  const other = await Wire.connect(server.port);
  expect(await hog.do("SET", "n", 0)).toBe("+OK");
  hog.raw(INCR.repeat(REQUESTS));
  // Each answer tells how far the pipeline has come. Without slices there are four to six.
  const seen = new Set<number>();
  for (let n = 0; n < REQUESTS; seen.add(n)) n = Number((await other.do("GET", "n")).replaceAll('"', ""));
  expect(seen.size).toBeGreaterThan(12);
  let last = "";
  for (let i = 0; i < REQUESTS; i++) last = await hog.next();
  expect(last).toBe(`(${REQUESTS})`);
  hog.close();
  other.close();
});
