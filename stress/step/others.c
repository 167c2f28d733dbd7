/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "others.h"

#include "../../tests/c/check.h"

#include <pthread.h>
#include <semaphore.h>

#define OWN inode_key(900000)

static sem_t asked, answered;
static struct bid_table *asked_for;
static int answer;

static int churn(struct bid_table *table)
{
    uint8_t id[20];
    make_id(OWN, 2, id, sizeof id);
    int status = insert(table, OWN, 1, sizeof id);
    if (status == BID_OK)
        status = bid_replace(table, OWN, 2, id, sizeof id);
    return status == BID_OK ? bid_remove(table, OWN) : status;
}

static void *update(void *unused)
{
    (void)unused;
    for (unsigned turn = 0;; turn++) {
        sem_wait(&asked);
        int status = churn(asked_for);
        if (status == BID_OK)
            status = turn % 2 ? shrink_table(asked_for) : bid_reserve(asked_for, turn % 4 ? 500 : 3000);
        answer = status;
        sem_post(&answered);
    }
    return NULL;
}

void others_begin(void)
{
    pthread_t thread;
    CHECK(sem_init(&asked, 0, 0) == 0 && sem_init(&answered, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, update, NULL) == 0);
}

int others_update(struct bid_table *table)
{
    asked_for = table;
    sem_post(&asked);
    sem_wait(&answered);
    return answer;
}
