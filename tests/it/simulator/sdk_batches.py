"""Batches and files of both vendors, by their own SDKs: python sdk_batches.py ROOT MODEL"""

import io, json, sys, warnings
import openai
from google import genai
from google.genai import errors, types

root, model = sys.argv[1], sys.argv[2]
warnings.simplefilter("ignore")

google = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=root, api_version="v1beta"))


def said_alone(prompt):
    return google.models.generate_content(model=model, contents=prompt).text


# Google, inline
job = google.batches.create(
    model=model,
    src=[
        {
            "contents": [{"parts": [{"text": prompt}], "role": "user"}],
            "config": {"system_instruction": "Be brief."},
            "metadata": {"key": f"task-{at}"},
        }
        for at, prompt in enumerate(["of the sea", "of ships"])
    ],
    config={"display_name": "token-1"},
)
assert job.state.name == "JOB_STATE_PENDING" and job.display_name == "token-1", job
job = google.batches.get(name=job.name)
assert job.state.name == "JOB_STATE_SUCCEEDED" and job.end_time is not None, job
answers = job.dest.inlined_responses
assert [one.metadata["key"] for one in answers] == ["task-0", "task-1"], answers
assert [one.response.text for one in answers] == [said_alone("of the sea"), said_alone("of ships")]
assert all(one.response.usage_metadata.total_token_count > 0 for one in answers)

# Google, by file
lines = [
    {"key": f"line-{at}", "request": {"contents": [{"parts": [{"text": prompt}]}]}}
    for at, prompt in enumerate(["of the sea", "of ships"])
] + [{"key": "wrong", "request": {"contents": []}}]
text = "\n".join(map(json.dumps, lines)).encode()
config = types.UploadFileConfig(name="token-2", display_name="requests", mime_type="jsonl")
file = google.files.upload(file=io.BytesIO(text), config=config)
assert file.name == "files/token-2" and file.size_bytes == len(text), file
assert file.state.name == "ACTIVE" and google.files.get(name=file.name).display_name == "requests"
try:
    google.files.upload(file=io.BytesIO(text), config=config)
    raise SystemExit("a name was given twice")
except errors.ClientError as error:
    assert error.code == 409 and error.status == "ALREADY_EXISTS", error
job = google.batches.create(model=model, src=file.name, config={"display_name": "token-2"})
job = google.batches.get(name=job.name)
told = google.files.download(file=job.dest.file_name).decode()
told = [json.loads(line) for line in told.splitlines()]
assert [one["key"] for one in told] == ["line-0", "line-1", "wrong"], told
text = told[0]["response"]["candidates"][0]["content"]["parts"][0]["text"]
assert text == said_alone("of the sea") and told[2]["error"]["code"] == 3, told
assert sorted(one.display_name for one in google.batches.list(config={"page_size": 1})) == ["token-1", "token-2"]
assert len(list(google.files.list(config={"page_size": 1}))) == 2
google.files.delete(name=file.name)
try:
    google.files.get(name=file.name)
    raise SystemExit("a deleted file was there")
except errors.ClientError as error:
    assert error.code == 403, error
google.batches.delete(name=job.name)
try:
    google.batches.get(name=job.name)
    raise SystemExit("a deleted batch was there")
except errors.ClientError as error:
    assert error.code == 404, error

# Google, a large file in several parts
large = b'{"key": "k", "request": {"contents": [{"parts": [{"text": "x"}]}]}}\n' * 150_000
file = google.files.upload(file=io.BytesIO(large), config={"mime_type": "jsonl"})
assert file.size_bytes == len(large), file

# Google, vectors
job = google.batches.create_embeddings(
    model="embedding-x",
    src={"inlined_requests": {"contents": ["a b", "c"], "config": {"output_dimensionality": 16}}},
    config={"display_name": "token-3"},
)
job = google.batches.get(name=job.name)
vectors = [one.response.embedding.values for one in job.dest.inlined_embed_content_responses]
alone = google.models.embed_content(
    model="embedding-x", contents=["a b", "c"], config={"output_dimensionality": 16}
)
assert vectors == [one.values for one in alone.embeddings], vectors

# OpenAI
client = openai.OpenAI(base_url=root + "/v1", api_key="k", max_retries=0, timeout=20)


def line(at, url, body):
    return json.dumps({"custom_id": f"task-{at}", "method": "POST", "url": url, "body": {**body}})


def chat(prompt):
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "max_completion_tokens": 50}


chats = [chat("of the sea"), chat("of ships"), {**chat("x"), "n": 2}]
text = "\n".join(line(at, "/v1/chat/completions", body) for at, body in enumerate(chats))
file = client.files.create(file=("token-4.jsonl", text.encode()), purpose="batch")
assert file.bytes == len(text) and file.filename == "token-4.jsonl" and file.status == "processed", file
assert client.files.content(file.id).text == text
assert [one.id for one in client.files.list(purpose="batch")] == [file.id]
batch = client.batches.create(
    input_file_id=file.id,
    endpoint="/v1/chat/completions",
    completion_window="24h",
    metadata={"submission": "token-4"},
)
assert batch.status == "validating" and batch.metadata == {"submission": "token-4"}, batch
batch = client.batches.retrieve(batch.id)
assert batch.status == "completed" and batch.completed_at, batch
counts = batch.request_counts
assert (counts.total, counts.completed, counts.failed) == (3, 2, 1), batch


def results(id):
    told = [json.loads(line) for line in client.files.content(id).text.splitlines()]
    return {one["custom_id"]: one for one in told}


good, bad = results(batch.output_file_id), results(batch.error_file_id)
assert sorted(good) == ["task-0", "task-1"] and sorted(bad) == ["task-2"], (good, bad)
alone = client.chat.completions.create(**chats[1])
whole = openai.types.chat.ChatCompletion(**good["task-1"]["response"]["body"])
assert whole.choices[0].message.content == alone.choices[0].message.content
assert whole.usage.total_tokens == alone.usage.total_tokens > 0
assert bad["task-2"]["response"]["status_code"] == 400, bad
assert client.files.retrieve(batch.output_file_id).bytes == len(client.files.content(batch.output_file_id).content)

body = {"model": "text-embedding-x", "input": "a b", "dimensions": 16}
text = line(0, "/v1/embeddings", body)
file = client.files.create(file=("token-5.jsonl", text.encode()), purpose="batch")
second = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
second = client.batches.retrieve(second.id)
assert second.error_file_id is None, second
vectors = results(second.output_file_id)["task-0"]["response"]["body"]["data"][0]["embedding"]
alone = client.embeddings.create(**body, encoding_format="float").data[0].embedding
assert max(abs(a - b) for a, b in zip(vectors, alone)) < 1e-6
assert [one.id for one in client.batches.list(limit=1)] == [second.id, batch.id]
try:
    client.batches.cancel(batch.id)
    raise SystemExit("a completed batch was cancelled")
except openai.ConflictError:
    pass
assert client.files.delete(file.id).deleted
try:
    client.files.retrieve(file.id)
    raise SystemExit("a deleted file was there")
except openai.NotFoundError:
    pass

# what is under way is cancelled; both vendors
google._api_client._httpx_client.post(root + "/sim/batches", json={"median_ms": 100000}).raise_for_status()
job = google.batches.create(model=model, src=[{"contents": "of ships"}], config={"display_name": "late"})
assert google.batches.get(name=job.name).state.name == "JOB_STATE_PENDING"
google.batches.cancel(name=job.name)
assert google.batches.get(name=job.name).state.name == "JOB_STATE_CANCELLED"
text = line(0, "/v1/chat/completions", chats[0])
file = client.files.create(file=("token-6.jsonl", text.encode()), purpose="batch")
late = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
assert client.batches.cancel(late.id).status == "cancelling"
print("batches of both are served")
