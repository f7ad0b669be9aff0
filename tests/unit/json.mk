TESTS += json
json_SRCS := worker/json.c
