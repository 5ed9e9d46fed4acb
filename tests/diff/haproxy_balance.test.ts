/**
 * Which server takes which connection, in the real haproxy 2.6 and ours (strict-haproxy on): the same order for the same algorithm and weights,
 * one connection after the other or several that stay, from one address or many, when servers come, go, or change their weight.
 */
import { connect } from "node:net";
import { afterAll, beforeAll } from "bun:test";
import { admin } from "../support/admin.ts";
import { sameLives, type Life, type Scene } from "../support/haproxy_lives.ts";
import { Target } from "../support/proxy.ts";

const NAMES = ["a", "b", "c", "d"];
const targets: Target[] = [];
beforeAll(async () => {
  for (const name of NAMES) targets.push(await Target.start((s) => void s.write(name)));
});
afterAll(async () => {
  for (const t of targets) await t.stop();
});

/** The name of the server that a connection from `from` gets; it stays until `end` is called. */
function ask(scene: Scene, from: string): Promise<{ name: string; end: () => Promise<void> }> {
  return new Promise((resolve, reject) => {
    const s = connect({ port: scene.proxy.port, host: "127.0.0.1", localAddress: from });
    s.on("error", reject);
    s.on("end", () => reject(new Error("no server")));
    s.once("data", (d) =>
      resolve({
        name: d.toString(),
        end: () => new Promise<void>((done) => (s.removeAllListeners("end"), s.once("close", () => done()), s.destroy())),
      }),
    );
  });
}
async function order(scene: Scene, count: number, address: (i: number) => string = () => "127.0.0.1"): Promise<string> {
  let names = "";
  for (let i = 0; i < count; i++) {
    const c = await ask(scene, address(i));
    names += c.name;
    await c.end();
  }
  return names;
}
/** Connections that stay, and go in the order in which they came. */
async function staying(scene: Scene, count: number): Promise<string> {
  const open = [];
  for (let i = 0; i < count; i++) open.push(await ask(scene, "127.0.0.1"));
  const names = open.map((c) => c.name).join("");
  for (const c of open) await c.end();
  return names;
}

const life = (algorithm: string, weights: number[], run: (scene: Scene) => Promise<unknown>): Life => ({
  name: `balance ${algorithm}, weights ${weights.join(" ")}`,
  values: () => ({ servers: weights.map((w, i) => ` server ${NAMES[i]} 127.0.0.1:${targets[i]!.port} weight ${w}\n`).join("") }),
  config: `frontend f\n bind 127.0.0.1:{port}\n no log\n default_backend b\nbackend b\n balance ${algorithm}\n{servers}`,
  async run(scene) {
    scene.note(await run(scene));
  },
});
const many = (i: number): string => `127.0.0.${10 + i * 7}`;
const WEIGHTS = [[1, 1, 1], [3, 2, 1], [10, 1], [5, 5, 2, 1]]; // prettier-ignore

const lives: Life[] = [
  ...WEIGHTS.flatMap((w) => [
    life("roundrobin", w, (s) => order(s, 26)),
    life("static-rr", w, (s) => order(s, 26)),
    life("source", w, (s) => order(s, 30, many)),
    life("leastconn", w, (s) => order(s, 12)),
  ]),
  life("leastconn", [3, 2, 1], (s) => staying(s, 18)),
  life("roundrobin", [3, 2, 1], (s) => staying(s, 18)),
  life("first", [1, 1, 1], (s) => order(s, 5)),
  ...["roundrobin", "static-rr", "source", "leastconn"].map((algorithm) => {
    const changing = life(algorithm, [2, 1, 1], async (scene) => {
      const seen: string[] = [await order(scene, 9, many)];
      const steps = ["state maint", "state ready", ...(algorithm === "static-rr" || algorithm === "source" ? [] : ["weight 5", "weight 1"]), "state drain", "state ready"]; // prettier-ignore
      for (const step of steps) {
        await admin(scene.sock, `set server b/a ${step}`);
        seen.push(`${step} ${await order(scene, 12, many)}`);
      }
      return seen;
    });
    return { ...changing, name: `${changing.name}: servers that come, go and change` };
  }),
];
sameLives(lives);
