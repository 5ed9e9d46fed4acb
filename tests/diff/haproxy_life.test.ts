/**
 * The same clients and servers in front of and behind the real haproxy 2.6 and ours (strict-haproxy on): the log lines are the same but for
 * times and ports. Each scenario is one kind of ending: termination flags, retries, queues, state lines of servers.
 */
import { expect } from "bun:test";
import { echo, LISTEN, sameLives, type Life } from "../support/haproxy_lives.ts";
import { Peer, Target } from "../support/proxy.ts";

let word = "yes";

const lives: Life[] = [
  {
    name: "client and server close in turn",
    config: `${LISTEN} server a 127.0.0.1:{a}\n`,
    a: echo,
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      c.send("hello");
      await c.has("hello");
      c.socket.end();
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "half-closed client still gets its answer",
    config: `${LISTEN} server a 127.0.0.1:{a}\n`,
    a: (s) => {
      s.resume();
      s.on("end", () => s.end("late"));
    },
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      c.send("x");
      c.socket.end();
      await c.has("late");
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "server closes first",
    config: `${LISTEN} server a 127.0.0.1:{a}\n`,
    a: (s) => {
      s.end("bye");
    },
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      await c.has("bye");
      await c.isOver();
      c.socket.end();
      await lines(1);
    },
  },
  {
    name: "server resets",
    config: `${LISTEN} server a 127.0.0.1:{a}\n`,
    a: (s) => void s.once("data", () => s.resetAndDestroy()),
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      c.send("x");
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "client resets",
    config: `${LISTEN} server a 127.0.0.1:{a}\n`,
    a: echo,
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      c.send("x");
      await c.has("x");
      c.socket.resetAndDestroy();
      await lines(1);
    },
  },
  {
    name: "idle client and server, equal time-outs",
    config: `${LISTEN} timeout client 200ms\n timeout server 200ms\n server a 127.0.0.1:{a}\n`,
    a: echo,
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "the server's time-out is shorter",
    config: `${LISTEN} timeout client 1s\n timeout server 200ms\n server a 127.0.0.1:{a}\n`,
    a: echo,
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      c.send("x");
      await c.has("x");
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "timeout tunnel takes the place of both",
    config: `${LISTEN} timeout client 100ms\n timeout server 100ms\n timeout tunnel 2s\n server a 127.0.0.1:{a}\n`,
    a: echo,
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      await Bun.sleep(500);
      c.send("x");
      await c.has("x");
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "refused, with retries",
    config: `${LISTEN} retries 1\n server a 127.0.0.1:{dead}\n`,
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      c.send("x");
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "refused, redispatched to another server",
    config: `${LISTEN} retries 1\n option redispatch\n server dead 127.0.0.1:{dead}\n server a 127.0.0.1:{a}\n`,
    a: echo,
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      c.send("x");
      await c.has("x");
      c.socket.end();
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "no server at all",
    config: `${LISTEN} server a 127.0.0.1:{dead} disabled\n`,
    async run({ proxy, lines }) {
      const c = await Peer.to(proxy.port);
      await c.isOver();
      await lines(1);
    },
  },
  {
    name: "queued until the time-out, then one that gets the slot",
    config: `${LISTEN} timeout queue 300ms\n server a 127.0.0.1:{a} maxconn 1\n`,
    a: echo,
    async run({ proxy, lines }) {
      const first = await Peer.to(proxy.port);
      first.send("1");
      await first.has("1");
      const second = await Peer.to(proxy.port);
      await second.isOver();
      await lines(1);
      const third = await Peer.to(proxy.port);
      third.send("3");
      await Bun.sleep(50);
      first.socket.end();
      await third.has("3");
      third.socket.end();
      await third.isOver();
      await lines(3);
    },
  },
  {
    name: "a client that leaves the queue",
    config: `${LISTEN} timeout queue 5s\n server a 127.0.0.1:{a} maxconn 1\n`,
    a: echo,
    async run({ proxy, lines }) {
      const first = await Peer.to(proxy.port);
      first.send("1");
      await first.has("1");
      const second = await Peer.to(proxy.port);
      await Bun.sleep(50);
      second.socket.end();
      await lines(1);
      first.socket.end();
      await lines(2);
    },
  },
  {
    name: "a checked server dies and comes back; sessions are shut when it is marked down",
    config: `frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n server a 127.0.0.1:{a} check inter 100ms rise 2 fall 2 on-marked-down shutdown-sessions\n`,
    a: echo,
    async run({ proxy, a, lines }) {
      const c = await Peer.to(proxy.port);
      c.send("x");
      await c.has("x");
      await Bun.sleep(300);
      await new Promise<void>((resolve) => {
        a!.server.close(() => resolve());
        // only the listener goes: the session stays, and is shut by the proxy
        for (const p of a!.peers) p.unref();
        resolve();
      });
      await c.isOver();
      await lines(3);
      await using again = await Target.start(echo, a!.port);
      expect(again.port).toBe(a!.port);
      await lines(4);
    },
  },
  {
    name: "log-health-checks, a tcp-check that stops matching",
    config: `frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n option log-health-checks\n option tcp-check\n tcp-check send ask\n tcp-check expect min-recv 3 string yes comment the\\ word\n server a 127.0.0.1:{a} check inter 400ms fall 2\n`,
    a: (s) => {
      s.on("data", () => s.write(word));
    },
    async run({ lines }) {
      await lines(1);
      word = "nope";
      await lines(5);
      word = "yes";
    },
  },
];

sameLives(lives);
