/**
 * Waiting for a slot, in the real haproxy 2.6 and ours (strict-haproxy on): maxconn, minconn with fullconn, maxqueue, slots that an
 * administrator gives or a death takes away. Who waits where and comes when is read from `show stat` and from the queue fields and flags of
 * the log lines.
 */
import { admin, stat } from "../support/admin.ts";
import { echo, LISTEN, sameLives, type Life, type Scene } from "../support/haproxy_lives.ts";
import { Peer, Target } from "../support/proxy.ts";
import { until } from "../support/programs.ts";

/** A client whose word is on its way; whether it is served is seen by its echo. */
async function client(scene: Scene, word: string): Promise<Peer> {
  const c = await Peer.to(scene.proxy.port);
  c.send(word);
  return c;
}
async function served(scene: Scene, word: string): Promise<Peer> {
  const c = await client(scene, word);
  await c.has(word);
  return c;
}
/** Sessions and waiting ones of every server and backend, as soon as `there` of them are in the backend. */
async function places(scene: Scene, there: number): Promise<Record<string, string>> {
  const view: Record<string, string> = {};
  await until(`${there} sessions in the backend of ${scene.kind}`, async () => {
    const rows = (await stat(scene.sock)).filter((r) => r["svname"] !== "FRONTEND");
    for (const r of rows) view[`${r["pxname"]}/${r["svname"]}`] = `${r["scur"]} served, ${r["qcur"]} wait, at most ${r["qmax"]}`;
    return rows.some((r) => r["svname"] === "BACKEND" && r["scur"] === String(there));
  });
  return view;
}
/** What has been counted, but for time. */
async function counters(scene: Scene): Promise<string[]> {
  const names = ["pxname", "svname", "smax", "stot", "econ", "wretr", "wredis", "lbtot", "qmax", "connect"];
  return (await stat(scene.sock)).filter((r) => r["svname"] !== "FRONTEND").map((r) => names.map((n) => `${n} ${r[n]}`).join(" "));
}
async function leave(...peers: Peer[]): Promise<void> {
  for (const p of peers) {
    p.socket.end();
    await p.isOver();
  }
}

const lives: Life[] = [
  {
    name: "minconn alone is a maxconn",
    config: `${LISTEN} timeout queue 5s\n server a 127.0.0.1:{a} minconn 1\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      scene.note(await places(scene, 2));
      await leave(first);
      await second.has("2");
      await leave(second);
      await scene.lines(2);
    },
  },
  {
    name: "minconn: few slots while the backend is far from full",
    config: `${LISTEN} timeout queue 5s\n fullconn 10\n server a 127.0.0.1:{a} minconn 1 maxconn 4\n`,
    a: echo,
    async run(scene) {
      const peers: Peer[] = [await served(scene, "w0")];
      for (let i = 1; i < 6; i++) {
        peers.push(await client(scene, `w${i}`));
        scene.note(await places(scene, i + 1));
      }
      for (let i = 0; i < 6; i++) {
        await peers[i]!.has(`w${i}`);
        await leave(peers[i]!);
        await scene.lines(i + 1);
      }
    },
  },
  {
    name: "balance source, maxqueue: the queue of the one server is full",
    config: `${LISTEN} timeout queue 5s\n balance source\n server a 127.0.0.1:{a} maxconn 1 maxqueue 1\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      scene.note(await places(scene, 2));
      const third = await client(scene, "3");
      await third.isOver();
      await scene.lines(1);
      scene.note(third.text);
      await leave(first);
      await second.has("2");
      await leave(second);
      await scene.lines(3);
    },
  },
  {
    name: "maxqueue without affinity: all wait in the backend",
    config: `${LISTEN} timeout queue 5s\n server a 127.0.0.1:{a} maxconn 1 maxqueue 1\n server b 127.0.0.1:{a} maxconn 1 maxqueue 1\n`,
    a: echo,
    async run(scene) {
      const one = await served(scene, "1");
      const two = await served(scene, "2");
      const waiting: Peer[] = [];
      for (let i = 3; i < 7; i++) {
        waiting.push(await client(scene, `w${i}`));
        scene.note(await places(scene, i));
      }
      await leave(one);
      await waiting[0]!.has("w3");
      await leave(two);
      await waiting[1]!.has("w4");
      scene.note(await places(scene, 4));
      await scene.lines(2);
      await leave(waiting[0]!);
      await waiting[2]!.has("w5");
      await leave(waiting[1]!);
      await waiting[3]!.has("w6");
      await leave(waiting[2]!, waiting[3]!);
      await scene.lines(6);
    },
  },
  {
    name: "use-server, its queue full: another one with redispatch",
    config: `${LISTEN} timeout queue 5s\n option redispatch\n use-server a if TRUE\n server a 127.0.0.1:{a} maxconn 1 maxqueue 1\n server b 127.0.0.1:{a}\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      scene.note(await places(scene, 2));
      const third = await served(scene, "3");
      scene.note(await places(scene, 3));
      await leave(third);
      await scene.lines(1);
      await leave(first);
      await second.has("2");
      await leave(second);
      await scene.lines(3);
    },
  },
  {
    name: "use-server, its queue full, no redispatch",
    config: `${LISTEN} timeout queue 5s\n use-server a if TRUE\n server a 127.0.0.1:{a} maxconn 1 maxqueue 1\n server b 127.0.0.1:{a}\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      scene.note(await places(scene, 2));
      const third = await client(scene, "3");
      await third.isOver();
      await scene.lines(1);
      await leave(first, second);
      await scene.lines(3);
    },
  },
  {
    name: "an administrator gives more slots",
    config: `${LISTEN} timeout queue 5s\n server a 127.0.0.1:{a} maxconn 1\n`,
    a: echo,
    async run(scene) {
      const peers = [await served(scene, "w0")];
      for (let i = 1; i < 4; i++) {
        peers.push(await client(scene, `w${i}`));
        await places(scene, i + 1);
      }
      scene.note(await admin(scene.sock, "set maxconn server l/a 3"));
      await peers[1]!.has("w1");
      await peers[2]!.has("w2");
      scene.note(await places(scene, 4));
      for (let i = 0; i < 4; i++) {
        await peers[i]!.has(`w${i}`);
        await leave(peers[i]!);
        await scene.lines(i + 1);
      }
    },
  },
  {
    name: "the only server goes into maintenance while some wait",
    config: `${LISTEN} timeout queue 700ms\n server a 127.0.0.1:{a} maxconn 1\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      await places(scene, 2);
      await admin(scene.sock, "set server l/a state maint");
      await second.isOver();
      await scene.lines(3);
      await leave(first);
      await scene.lines(4);
    },
  },
  {
    name: "waiting for a server that dies: the other one takes over",
    config: `${LISTEN} timeout queue 5s\n balance source\n option redispatch\n server a 127.0.0.1:{a} maxconn 1\n server b 127.0.0.1:{a} backup\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      scene.note(await places(scene, 2));
      await admin(scene.sock, "set server l/a state maint");
      await second.has("2");
      await scene.lines(1);
      scene.note(await places(scene, 2));
      await leave(second, first);
      await scene.lines(3);
    },
  },
  {
    name: "waiting for the one server until the time-out",
    config: `${LISTEN} timeout queue 300ms\n balance source\n server a 127.0.0.1:{a} maxconn 1\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      await second.isOver();
      await scene.lines(1);
      await leave(first);
      await scene.lines(2);
    },
  },
  {
    name: "no redispatch: who waits for a server goes on waiting while it is away",
    config: `${LISTEN} timeout queue 5s\n balance source\n server a 127.0.0.1:{a} maxconn 1\n server b 127.0.0.1:{a} backup\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      scene.note(await places(scene, 2));
      await admin(scene.sock, "set server l/a state maint");
      await scene.lines(1);
      scene.note(await places(scene, 2));
      await admin(scene.sock, "set server l/a state ready");
      await leave(first);
      await second.has("2");
      await leave(second);
      await scene.lines(4);
    },
  },
  {
    name: "a server comes back to those who wait for any",
    config: `${LISTEN} timeout queue 9s\n timeout check 5s\n server a 127.0.0.1:{a} maxconn 1\n server b 127.0.0.1:{a} check port {dead} inter 100ms fall 1 rise 1 maxconn 2\n`,
    a: echo,
    async run(scene) {
      await scene.lines(1);
      const peers = [await served(scene, "w0")];
      for (let i = 1; i < 5; i++) {
        peers.push(await client(scene, `w${i}`));
        scene.note(await places(scene, i + 1));
      }
      await using checked = await Target.start(echo, scene.dead);
      scene.note(checked.port === scene.dead);
      await peers[1]!.has("w1");
      await peers[2]!.has("w2");
      await scene.lines(2);
      scene.note(await places(scene, 5));
      for (let i = 0; i < 5; i++) {
        await peers[i]!.has(`w${i}`);
        await leave(peers[i]!);
        await scene.lines(i + 3);
      }
    },
  },
  {
    name: "the frontend is full: the next one waits outside",
    config: `frontend f\n bind 127.0.0.1:{port}\n maxconn 1\n default_backend b\nbackend b\n server a 127.0.0.1:{a}\n`,
    a: echo,
    async run(scene) {
      const first = await served(scene, "1");
      const second = await client(scene, "2");
      scene.note(await places(scene, 1));
      await leave(first);
      await second.has("2");
      await leave(second);
      await scene.lines(2);
    },
  },
  {
    name: "a slot that a failed connect gives back",
    config: `${LISTEN} timeout queue 5s\n retries 0\n server a 127.0.0.1:{dead} maxconn 1\n`,
    async run(scene) {
      await (await client(scene, "1")).isOver();
      await (await client(scene, "2")).isOver();
      await scene.lines(2);
      await using late = await Target.start(echo, scene.dead);
      const c = await served(scene, "3");
      scene.note(late.peers.length);
      await leave(c);
      await scene.lines(3);
    },
  },
];

// The counters belong to every scene.
sameLives(lives.map((l) => ({ ...l, run: async (scene) => (await l.run(scene), scene.note(await counters(scene))) })));
