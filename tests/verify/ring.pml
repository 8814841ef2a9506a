/* Sleep and wake of one connection (shm/PROTOCOL.md, sections 4 and 5) on a machine with store
 * buffers; check.sh runs it.
 *
 * Each side has a FIFO of stores that others do not see yet; it drains at any moment. A seq_cst
 * store is a store and a fence, which waits until the FIFO is empty. A side loads only words that
 * the other side writes, so no load is answered from its own FIFO. Polling is modelled as one look,
 * because looking for longer is the same as looking later. A socket that is full drops the byte.
 *
 *   WEAK_CLIENT, WEAK_SERVER   that side's stores have no fence (release and acquire): a wake-up
 *                              gets lost
 *   ALWAYS_RING                the client has no atomic operations and follows section 5; the
 *                              server is an ordinary one
 *   PLAIN_SERVER               the server has no atomic operations and follows section 5; the
 *                              client is an ordinary one
 */
#ifndef CALLS
#define CALLS 4
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#define SOCKET_ROOM 1
#define BUFFER 3

mtype = {request, response, client_sleeping, server_sleeping};

/* Memory. */
byte request_sequence[SLOTS], response_sequence[SLOTS];
byte sleeping_client, sleeping_server;

/* Sockets: bytes on their way to that side. Store buffers: word, entry of the ring, value. */
chan to_client = [SOCKET_ROOM] of {bit};
chan to_server = [SOCKET_ROOM] of {bit};
chan client_stores = [BUFFER] of {mtype, byte, byte};
chan server_stores = [BUFFER] of {mtype, byte, byte};

/* What happened, for the properties. */
byte sent, answered, received;

inline drain_one(stores) {
  stores ? word, entry, value;
  if
  :: word == request -> request_sequence[entry] = value
  :: word == response -> response_sequence[entry] = value
  :: word == client_sleeping -> sleeping_client = value
  :: word == server_sleeping -> sleeping_server = value
  fi
}

active proctype drain_client() {
  mtype word;
  byte entry, value;
end:
  do
  :: atomic { nempty(client_stores) -> drain_one(client_stores) }
  od
}

active proctype drain_server() {
  mtype word;
  byte entry, value;
end:
  do
  :: atomic { nempty(server_stores) -> drain_one(server_stores) }
  od
}

#define fence(stores) empty(stores)

#if defined(WEAK_CLIENT) || defined(ALWAYS_RING)
#define client_fence skip
#else
#define client_fence fence(client_stores)
#endif
#if defined(WEAK_SERVER) || defined(PLAIN_SERVER)
#define server_fence skip
#else
#define server_fence fence(server_stores)
#endif

/* A system call orders the stores before it; the byte is dropped if the socket is full. */
inline ring(stores, socket) {
  fence(stores);
  if
  :: atomic { nfull(socket) -> socket ! 1 }
  :: atomic { full(socket) -> skip }
  fi
}

inline drop_rings(socket) {
  do
  :: atomic { nempty(socket) -> socket ? _ }
  :: atomic { empty(socket) -> break }
  od
}

active proctype client() {
  byte next = 1;     /* request to send */
  byte waited = 1;   /* response to read */
  byte own, rung, seen;
  do
  :: next <= CALLS && next < waited + SLOTS ->
    atomic { client_stores ! request, (next - 1) % SLOTS, next; sent = next }
#ifdef ALWAYS_RING
    ring(client_stores, to_server);
#else
    client_fence;
    seen = sleeping_server;
    if
    :: seen != rung -> rung = seen; ring(client_stores, to_server)
    :: else
    fi;
#endif
    next++
  :: waited < next ->
    seen = response_sequence[(waited - 1) % SLOTS];
    if
    :: seen == waited -> goto got
    :: else -> assert(seen == (waited > SLOTS -> waited - SLOTS : 0))
    fi;
#ifndef ALWAYS_RING
    own++;
    client_stores ! client_sleeping, 0, own;
    client_fence;
    seen = response_sequence[(waited - 1) % SLOTS];
    if
    :: seen == waited -> goto got  /* the server may ring spuriously */
    :: else
    fi;
#endif
    nempty(to_client);  /* asleep */
    drop_rings(to_client);
    goto next_turn;
got:
    received = waited;
    waited++;
next_turn:
    skip
  :: waited > CALLS -> break
  od
}

active proctype server() {
  byte next = 1;
  byte own, rung, seen;
  do
  :: seen = request_sequence[(next - 1) % SLOTS];
    if
    :: seen == next -> goto got
    :: else -> assert(seen == (next > SLOTS -> next - SLOTS : 0))
    fi;
    own++;
    server_stores ! server_sleeping, 0, own;
#ifdef PLAIN_SERVER
    /* Waits a millisecond for the socket. Either a byte arrives, or the kernel takes the thread off
     * the CPU, which orders its stores. */
    if
    :: nempty(to_server) -> drop_rings(to_server); goto next_turn
    :: fence(server_stores)
    fi;
#else
    server_fence;
#endif
    seen = request_sequence[(next - 1) % SLOTS];
    if
    :: seen == next -> goto got
    :: else
    fi;
end_asleep:
    nempty(to_server);
    drop_rings(to_server);
    goto next_turn;
got:
    assert(answered == next - 1 && sent >= next);  /* each request is answered once, and in order */
    atomic { server_stores ! response, (next - 1) % SLOTS, next; answered = next }
#if defined(ALWAYS_RING) || defined(PLAIN_SERVER)
    ring(server_stores, to_client);
#else
    server_fence;
    seen = sleeping_client;
    if
    :: seen != rung -> rung = seen; ring(server_stores, to_client)
    :: else
    fi;
#endif
    next++;
next_turn:
    skip
  od
}

/* After a lost wake-up the client never ends: it sleeps although a response is ready, or the server
 * sleeps although a request is ready. */
ltl no_lost_wake_up { <> (received == CALLS) }
