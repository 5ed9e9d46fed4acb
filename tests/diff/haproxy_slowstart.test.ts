/**
 * A server that comes up with `slowstart`, and errors of traffic that count as failed checks (`observe`), in the real haproxy 2.6 and ours
 * (strict-haproxy on): the steps of weights and slots as `show stat` has them, the lines and states that errors lead to.
 */
import { stat } from "../support/admin.ts";
import { echo, sameLives, type Life, type Scene } from "../support/haproxy_lives.ts";
import { Peer, Target } from "../support/proxy.ts";
import { until } from "../support/programs.ts";

const row = async (scene: Scene, name: string): Promise<Record<string, string>> =>
  (await stat(scene.sock)).find((r) => r["svname"] === name)!;

/** The different weights and throttles of a server from its coming up to its whole weight, in their order. */
async function warming(scene: Scene, name: string): Promise<string[]> {
  const seen: string[] = [];
  await until(`${scene.kind}: ${name} to be warm`, async () => {
    const r = await row(scene, name);
    const now = `${r["status"]} weight ${r["weight"]} of ${r["uweight"]}, throttle ${r["throttle"]}`;
    if (seen.at(-1) !== now) seen.push(now);
    return r["status"] === "UP" && r["throttle"] === "";
  });
  return seen.filter((s) => s.startsWith("UP "));
}

const slow = (name: string, balance: string, weight: number): Life => ({
  name,
  config: `frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n balance ${balance}\n server a 127.0.0.1:{dead} check inter 100ms rise 1 fall 1 slowstart 4s weight ${weight}\n server c 127.0.0.1:{a}\n`,
  a: echo,
  async run(scene) {
    await scene.lines(1);
    await using up = await Target.start(echo, scene.dead);
    scene.note(up.port === scene.dead);
    scene.note(await warming(scene, "a"));
    await scene.lines(3);
  },
});

/** Clients that find nobody at the server, until `over`. */
async function knock(scene: Scene, over: (r: Record<string, string>) => boolean): Promise<void> {
  for (let i = 0; i < 30; i++) {
    if (over(await row(scene, "a"))) return;
    await (await Peer.to(scene.proxy.port)).isOver();
  }
  throw new Error(`not after 30 clients:\n${scene.proxy.output}`);
}
const checks = (r: Record<string, string>): string =>
  ["status", "check_status", "last_chk", "check_desc", "check_health", "chkfail", "chkdown", "hanafail", "econ"].map((n) => `${n} ${r[n]?.replace("* ", "")}`).join(", "); // prettier-ignore

const observed = (onError: string, more: string, clients: number, lines: number): Life => ({
  name: `observe layer4, on-error ${onError}${more.trimEnd()}`,
  // The checks find somebody, the traffic does not.
  config: `frontend f\n bind 127.0.0.1:{port}\n no log\n default_backend b\nbackend b\n retries 0\n${more} server a 127.0.0.1:{dead} check port {a} inter 60s rise 2 fall 3 observe layer4 error-limit 3 on-error ${onError}\n server c 127.0.0.1:{a} backup\n`,
  a: echo,
  async run(scene) {
    await until(`${scene.kind}: the first check`, async () => (await row(scene, "a"))["check_status"] === "L4OK");
    for (let i = 0; i < clients; i++) {
      const c = await Peer.to(scene.proxy.port);
      const before = Number((await row(scene, "a"))["econ"]);
      c.send("x");
      await until("refused", async () => c.ended || c.closed || c.text === "x" || Number((await row(scene, "a"))["econ"]) > before);
      c.socket.destroy();
      scene.note(checks(await row(scene, "a")));
    }
    await scene.lines(lines);
  },
});

const lives: Life[] = [
  slow("slowstart, roundrobin", "roundrobin", 20),
  slow("slowstart, leastconn, a small weight", "leastconn", 3),
  slow("slowstart, source takes the whole weight", "source", 10),
  observed("fail-check", "", 10, 1),
  observed("fail-check", " option log-health-checks\n", 10, 4),
  observed("sudden-death", "", 7, 1),
  observed("sudden-death", " option log-health-checks\n", 7, 3),
  observed("mark-down", "", 4, 1),
  observed("fastinter", "", 7, 0),
  {
    name: "observe: what works in between begins the count anew",
    config: `frontend f\n bind 127.0.0.1:{port}\n no log\n default_backend b\nbackend b\n retries 0\n server a 127.0.0.1:{dead} check port {a} inter 60s observe layer4 error-limit 2 on-error mark-down\n`,
    a: echo,
    async run(scene) {
      await until(`${scene.kind}: the first check`, async () => (await row(scene, "a"))["check_status"] === "L4OK");
      await (await Peer.to(scene.proxy.port)).isOver();
      {
        await using up = await Target.start(echo, scene.dead);
        const c = await Peer.to(scene.proxy.port);
        c.send("x");
        await c.has("x");
        c.socket.end();
        await c.isOver();
        scene.note(up.peers.length);
      }
      await (await Peer.to(scene.proxy.port)).isOver();
      scene.note(checks(await row(scene, "a")));
      await knock(scene, (r) => r["status"] === "DOWN");
      scene.note(checks(await row(scene, "a")));
      await scene.lines(2);
    },
  },
];

sameLives(lives);
