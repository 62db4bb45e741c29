"""The task file that makes lm-evaluation-harness score given options for given prompts."""

# takes the path of a JSON Lines file of {prompt, options}
TASK = """\
task: options
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: "{{options}}"
doc_to_target: 0
target_delimiter: ""
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
