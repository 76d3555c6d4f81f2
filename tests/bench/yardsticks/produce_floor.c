/* The floor: the same work in C. read gzip NDJSON (zlib or, if linked, isa-l), split lines with memchr, rd_kafka_producev each raw line with key + 2 headers.
 * No JSON parse at all. cc -O2 produce_floor.c -o produce_floor -lrdkafka -lz ; ./produce_floor FILE.gz BOOTSTRAP none|lz4|zstd TOPIC */
#include <rdkafka.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>
#include <sys/resource.h>
static long bad, good;
static void dr(rd_kafka_t *rk, const rd_kafka_message_t *m, void *o) { if (m->err) bad++; else good++; }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static double cpu(void) { struct rusage r; getrusage(RUSAGE_SELF, &r); return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6; }
int main(int c, char **v) {
  char e[512]; rd_kafka_conf_t *k = rd_kafka_conf_new();
  const char *cfg[][2] = {{"bootstrap.servers", v[2]}, {"compression.type", v[3]}, {"linger.ms", "50"}, {"batch.size", "1048576"}, {"message.max.bytes", "4000000"}, {"acks", "all"},
    {"queue.buffering.max.messages", "200000"}, {"queue.buffering.max.kbytes", "1048576"}, {"log_level", "0"}, {"delivery.report.only.error", "true"}};
  for (unsigned i = 0; i < sizeof cfg / sizeof *cfg; i++) if (rd_kafka_conf_set(k, cfg[i][0], cfg[i][1], e, sizeof e)) { puts(e); return 1; }
  rd_kafka_conf_set_dr_msg_cb(k, dr);
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, k, e, sizeof e);
  rd_kafka_topic_t *t = rd_kafka_topic_new(rk, v[4], NULL);
  const struct rd_kafka_metadata *md; rd_kafka_metadata(rk, 0, t, &md, 10000);
  size_t cap = 1 << 20, have = 0; char *buf = malloc(cap * 2); long n = 0; double inflate = 0;
  double w = now(), u = cpu();
  gzFile f = gzopen(v[1], "rb"); gzbuffer(f, 1 << 18);
  for (;;) {
    double z = now(); int r = gzread(f, buf + have, cap); inflate += now() - z;
    if (r <= 0) break;
    have += r; char *p = buf, *end = buf + have, *q;
    while ((q = memchr(p, '\n', end - p))) {
      while (rd_kafka_producev(rk, RD_KAFKA_V_RKT(t), RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(p, (size_t)(q - p)), RD_KAFKA_V_KEY(p + 20, 24),
        RD_KAFKA_V_HEADER("connection_ids", "conn-1234567890abcdef-0001", 26), RD_KAFKA_V_HEADER("reprocess_job", "9f8b2c1d", 8), RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL) rd_kafka_poll(rk, 5);
      n++; p = q + 1;
    }
    have = end - p; memmove(buf, p, have); rd_kafka_poll(rk, 0);
  }
  rd_kafka_flush(rk, 120000);
  w = now() - w; u = cpu() - u;
  printf("C floor %-5s %8.1f kev/s  cpu %6.2f us/ev (%3.0f%%)  of which zlib inflate %5.2f us/ev wall  n=%ld bad=%ld left=%d\n", v[3], n / w / 1e3, u / n * 1e6, u / w * 100, inflate / n * 1e6, n, bad, rd_kafka_outq_len(rk));
  return 0;
}
