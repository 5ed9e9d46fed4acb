/**
 * Where the store's events go in the server mode: WATCH, tracking and blocked clients (Service), DELs of expired and evicted keys
 * (propagation), keyspace notifications (Pub/Sub). HOT for `modified`: two comparisons while nobody listens.
 */
import { setNotify } from "../commands/effects.ts";
import {
  NOTIFY_EVICTED,
  NOTIFY_EXPIRED,
  NOTIFY_KEYEVENT,
  NOTIFY_KEYSPACE,
  NOTIFY_KEY_MISS,
  NOTIFY_NEW,
} from "../config/keyspace_events.ts";
import { setStoreEvents, tellAlso } from "../store/events.ts";
import { settings } from "../store/settings.ts";
import type { Server } from "./server.ts";

/** Publishes a notification as notify-keyspace-events wants it. Redis notify.c: notifyKeyspaceEvent. */
function publish(server: Server, classes: number, event: string, db: number, key: Buffer): void {
  const { pubsub } = server.service;
  if (classes & NOTIFY_KEYSPACE) pubsub.publish(Buffer.concat([Buffer.from(`__keyspace@${db}__:`), key]), Buffer.from(event));
  if (classes & NOTIFY_KEYEVENT) pubsub.publish(Buffer.from(`__keyevent@${db}__:${event}`), key);
}

/** Connects the store with the server. Once, at boot. */
export function connectStore(server: Server): void {
  const { service, propagation } = server;
  let classes = 0;
  const notify = (cls: number, event: string, db: number, b: Buffer, start: number, end: number): void => {
    if (classes & cls) publish(server, classes, event, db, Buffer.from(b.subarray(start, end)));
  };
  server.config.watch("notify-keyspace-events", (c) => {
    classes = c.special("notify-keyspace-events");
    // Without K or E nothing is published, whatever the classes.
    setNotify(classes & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT) ? classes : 0, notify);
    tellAlso((classes & NOTIFY_NEW) !== 0, (classes & NOTIFY_KEY_MISS) !== 0);
  });
  const gone = (db: number, b: Buffer, start: number, end: number, cls: number, event: string, lazy: boolean): void => {
    propagation.also(db, [lazy ? "UNLINK" : "DEL", b.subarray(start, end)]);
    notify(cls, event, db, b, start, end);
    service.keyGone(db, b, start, end);
  };
  setStoreEvents({
    modified(db, b, start, end) {
      service.keyChanged(db, b, start, end);
      // SET over a stream: readers of its groups are told that it is none any more.
      service.blocking.keyReady(db, b, start, end);
    },
    added(db, _type, b, start, end) {
      service.blocking.keyReady(db, b, start, end);
      if (classes & NOTIFY_NEW && !server.loading) notify(NOTIFY_NEW, "new", db, b, start, end);
    },
    missed(db, b, start, end) {
      notify(NOTIFY_KEY_MISS, "keymiss", db, b, start, end);
    },
    deleted(db, b, start, end) {
      // A stream's readers are told when it goes.
      service.blocking.keyReady(db, b, start, end);
    },
    expired(db, b, start, end) {
      gone(db, b, start, end, NOTIFY_EXPIRED, "expired", settings.lazyfreeLazyExpire);
    },
    evicted(db, b, start, end) {
      gone(db, b, start, end, NOTIFY_EVICTED, "evicted", settings.lazyfreeLazyEviction);
    },
    flushed(db) {
      service.flushing(db);
    },
    swapped(first, second) {
      service.swapped(first, second);
    },
  });
}
