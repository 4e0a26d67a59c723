/* Sells tickets at one node, as shop.cjs does: shop HOST PORT SHOP COUNT SECONDS.
 *
 *	cc -O2 -Wall -o shop shop.c -lhiredis
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char noRights[] = "NORIGHTS";
static const char soldOut[] = "NORIGHTS the limit is 0 away";

/* done frees a reply, and ends the program where there is none or an error. */
static void done(redisContext *c, redisReply *r) {
	if (r == NULL || r->type == REDIS_REPLY_ERROR) {
		fprintf(stderr, "%s\n", r == NULL ? c->errstr : r->str);
		exit(1);
	}
	freeReplyObject(r);
}

static int begins(const redisReply *r, const char *text) {
	return r->type == REDIS_REPLY_ERROR && strncmp(r->str, text, strlen(text)) == 0;
}

int main(int argc, char **argv) {
	if (argc != 6) {
		fprintf(stderr, "usage: %s HOST PORT SHOP COUNT SECONDS\n", argv[0]);
		return 2;
	}
	const char *shop = argv[3];
	long count = atol(argv[4]), seconds = atol(argv[5]), sold = 0;
	redisContext *c = redisConnect(argv[1], atoi(argv[2]));
	if (c == NULL || c->err) {
		fprintf(stderr, "%s\n", c == NULL ? "no memory" : c->errstr);
		return 1;
	}
	const struct timespec pause = {0, 50 * 1000 * 1000};
	time_t patience = time(NULL) + seconds;
	while (sold < count && time(NULL) <= patience) {
		/* A node spends rights that it holds itself, so no ticket is sold twice, on line or off. */
		redisReply *r = redisCommand(c, "EM.BOUND DECR tickets");
		if (r != NULL && begins(r, noRights)) {
			int over = begins(r, soldOut);
			freeReplyObject(r);
			if (over)
				break;
			nanosleep(&pause, NULL); /* the node has asked others for some */
			continue;
		}
		done(c, r);
		sold++;
		done(c, redisCommand(c, "XADD sales * shop %s", shop)); /* entries of all shops stay, whoever was off line */
		done(c, redisCommand(c, "SADD shops %s", shop));
		patience = time(NULL) + seconds;
	}
	printf("%ld\n", sold);
	redisFree(c);
	return 0;
}
